/** What the queue tests share: a store over a real redis-server, requests, and a look behind the scenes. */
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { createLog } from '../../../shared/log.js';
import { QUEUE_PREFIX, queueName } from '../../../shared/queue/connection.js';
import { JobStore, type JobStoreConfig } from '../../../shared/queue/job-store.js';
import type { JobRecord } from '../../../shared/queue/records.js';
import { BatchRequest } from '../../../shared/schemas/batch.js';
import { JobRequest, type JobResult, type Plan, type Progress } from '../../../shared/schemas/job.js';
import type { TestRedis } from '../../helpers/redis.js';

export const log = createLog('silent');

export const config: JobStoreConfig = {
  pools: ['default', 'fast'],
  jobAttempts: 3,
  retryDelayMs: 10,
  keepJobs: { seconds: 3600, count: 1000 },
  // Every lease has run out at once: a job is its node's only while BullMQ says so. Tests of leases set their own.
  leaseMs: 0,
  poolConcurrency: new Map(),
};

/** For tests that start jobs without a worker: upkeep must not take such a job for one that lost its node. */
export const LONG_LEASE = { leaseMs: 60_000 } as const;

export function openStore(redis: TestRedis, overrides: Partial<JobStoreConfig> = {}): Promise<JobStore> {
  return JobStore.open({ redisUrl: redis.url, config: { ...config, ...overrides }, log });
}

export function uploadRequest(name = 'a', extra: Record<string, unknown> = {}): JobRequest {
  return JobRequest.parse({
    kind: 'upload',
    source: { type: 'file', path: `/srv/${name}.img` },
    target: { type: 'file', path: `/srv/out/${name}.raw` },
    ...extra,
  });
}

/** @param vms  name and number of disks of each */
export function batchRequest(vms: readonly [string, number][], extra: Record<string, unknown> = {}): BatchRequest {
  return BatchRequest.parse({
    name: 'wave',
    vms: vms.map(([name, count]) => ({
      name,
      disks: Array.from({ length: count }, (_, i) => ({
        source: { type: 'file', path: `/srv/${name}-${i}.img` },
        target: { type: 'file', path: `/srv/out/${name}-${i}.raw` },
      })),
    })),
    ...extra,
  });
}

export function zeroRequest(extra: Record<string, unknown> = {}): JobRequest {
  return JobRequest.parse({ kind: 'zero', target: { type: 'block', path: '/dev/vg/lv' }, ...extra });
}

export function progress(percent: number): Progress {
  return {
    totalBytes: 100,
    dataBytes: 100,
    zeroBytes: 0,
    doneBytes: percent,
    durableBytes: percent,
    verifiedBytes: 0,
    percent,
    bytesPerSecond: 1,
    etaSeconds: null,
  };
}

export const result: JobResult & { readonly plan: Plan } = {
  plan: {
    strategy: 'no-zero',
    proof: 'created',
    reason: 'a new file',
    allocation: 'sparse',
    zeroMethods: [],
    directIo: false,
    sectorSize: 512,
    imageBytes: 100,
    targetBytes: 100,
    dataBytes: 100,
    zeroBytes: 0,
    tailBytes: 0,
    extents: 1,
    steps: 1,
    warnings: [],
    estimateSeconds: null,
  },
  durationMs: 5,
  phases: { copying: 4 },
  copiedBytes: 100,
  clonedBytes: 0,
  resumedBytes: 0,
  detectedZeroBytes: 0,
  zeroed: [],
};

/** BullMQ's view of a pool; the caller closes it. */
export class Behind {
  readonly redis: Redis;
  readonly queue: Queue;

  constructor(server: TestRedis, pool = 'default') {
    this.redis = new Redis(server.socket, { maxRetriesPerRequest: null });
    this.queue = new Queue(queueName(pool), { connection: this.redis, prefix: QUEUE_PREFIX });
  }

  async close(): Promise<void> {
    await this.queue.close();
    this.redis.disconnect();
  }
}

export async function mustStart(store: JobStore, id: string, node = 'node-1'): Promise<JobRecord> {
  const record = await store.start(id, node);
  if (record === null || typeof record === 'number') throw new Error(`job ${id} could not be started`);
  return record;
}
