/** How many jobs there are and what those that wait are waiting for: what the metrics show of the queue. */
import type { Redis } from 'ioredis';
import type { JobState } from '../schemas/job.js';
import { queueCall } from './connection.js';
import { keys } from './keys.js';
import { countJobs } from './listing.js';
import type { Scheduler } from './scheduler.js';

export interface PoolDepth {
  readonly jobs: Partial<Record<JobState, number>>;
  /** Queued jobs by what they wait for: a node, the time of another try, a place in their batch. */
  readonly waiting: { readonly node: number; readonly retry: number; readonly batch: number };
}

/**
 * Two round trips, however many pools there are.
 * @param pools  in the answer even when they never had a job; another pool only while it has one
 */
export async function queueDepth(
  redis: Redis,
  scheduler: Scheduler,
  pools: readonly string[],
): Promise<ReadonlyMap<string, PoolDepth>> {
  const [counts, inBatches] = await Promise.all([
    countJobs(redis),
    queueCall(() => redis.hgetall(keys.waiting) as Promise<Record<string, string>>),
  ]);
  const busy = Object.keys(counts).filter((pool) => Object.values(counts[pool] ?? {}).some((count) => count > 0));
  const entries = [...new Set([...pools, ...busy])].map(async (pool): Promise<[string, PoolDepth]> => {
    const { ready, delayed } = await scheduler.depth(pool);
    const waiting = { node: ready, retry: delayed, batch: Math.max(0, Number(inBatches[pool] ?? 0)) };
    return [pool, { jobs: counts[pool] ?? {}, waiting }];
  });
  return new Map(await Promise.all(entries));
}
