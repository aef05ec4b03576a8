/**
 * How imageferry reaches Redis: one function that makes connections, the names of the queues, and the
 * one place where a Redis failure becomes QUEUE_UNAVAILABLE.
 * BullMQ takes these connections as they are (it cannot make its own from an ESM project).
 * Facts: BullMQ guide "Connections" (maxRetriesPerRequest) and "Failing fast when Redis is down".
 */
import type { Redis, RedisOptions } from 'ioredis';

// As in bullmq.ts.
import ioredis = require('ioredis');

import { FerryError } from '../errors.js';

/** First part of every Redis key of ours and of BullMQ's. */
export const QUEUE_PREFIX = 'ferry';

/** BullMQ queue of the jobs of a pool. */
export function queueName(pool: string): string {
  return `jobs-${pool}`;
}

/** BullMQ queue of the dry runs of a pool. */
export function planQueueName(pool: string): string {
  return `plans-${pool}`;
}

export type RedisPurpose = 'command' | 'blocking' | 'subscriber';

// A request must never hang on Redis: two failed reconnects (about a second) or this long, then it is told.
const COMMAND_TIMEOUT_MS = 5000;
const COMMAND_RECONNECT_MAX_MS = 400;
const PATIENT_RECONNECT_MAX_MS = 2000;

const BY_PURPOSE = {
  // Answers requests: fails when Redis stays away, so that the client hears 503 instead of nothing.
  command: { maxRetriesPerRequest: 1, commandTimeout: COMMAND_TIMEOUT_MS },
  // BullMQ workers and QueueEvents: BullMQ demands null, they wait for Redis as long as it takes.
  blocking: { maxRetriesPerRequest: null },
  // Subscriptions are renewed by ioredis after each reconnect.
  subscriber: { maxRetriesPerRequest: null },
} as const;

/**
 * Opens a connection that reconnects by itself for ever. Returns at once; the first command waits for it.
 * @param url      `redis://`, `rediss://` or `unix:///path` (all with `?db=N`)
 * @param purpose  what it is for; a worker needs `blocking`, whatever answers a request needs `command`
 * @param name     shown by `CLIENT LIST`
 */
export function createRedis(url: string, purpose: RedisPurpose, name: string): Redis {
  const slowest = purpose === 'command' ? COMMAND_RECONNECT_MAX_MS : PATIENT_RECONNECT_MAX_MS;
  const options = {
    ...BY_PURPOSE[purpose],
    connectionName: `ferry-${name}`,
    connectTimeout: COMMAND_TIMEOUT_MS,
    // Jitter: many processes must not knock at the same moment when Redis comes back.
    retryStrategy: (attempt: number) =>
      Math.min(50 * 2 ** Math.min(attempt - 1, 10), slowest) * (0.75 + Math.random() / 2),
  } satisfies RedisOptions;
  const redis = url.startsWith('unix:')
    ? new ioredis.Redis({ ...options, ...unixTarget(url) })
    : new ioredis.Redis(url, options);
  return remembered(redis);
}

// BullMQ copies a connection for its blocking reads, and forgets a copy that is just reconnecting when it closes.
const copies = new WeakMap<Redis, Set<Redis>>();

function remembered(redis: Redis): Redis {
  // Without a listener ioredis prints to the console. Whoever cares adds their own.
  redis.on('error', () => {});
  const made = new Set<Redis>();
  copies.set(redis, made);
  const duplicate = redis.duplicate.bind(redis);
  redis.duplicate = (override) => {
    const copy = remembered(duplicate(override));
    made.add(copy);
    copy.once('end', () => made.delete(copy));
    return copy;
  };
  return redis;
}

function unixTarget(url: string): { path: string; db?: number } {
  const parsed = new URL(url);
  const db = parsed.searchParams.get('db');
  return { path: decodeURIComponent(parsed.pathname), ...(db === null ? {} : { db: Number(db) }) };
}

/** Closes a connection and its copies, without waiting for a server that may be away; commands in flight are rejected. */
export function closeRedis(redis: Redis): void {
  for (const copy of copies.get(redis) ?? []) closeRedis(copy);
  redis.disconnect();
}

const LOST_CONNECTION =
  /Connection is closed|Command timed out|Stream isn't writeable|Reached the max retries|Socket closed|ECONN|ENOENT|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN/;
// Replies of a server that is there but cannot serve: loading, full, read-only, not letting us in.
const UNABLE = /\b(LOADING|READONLY|MISCONF|OOM|CLUSTERDOWN|MASTERDOWN|NOREPLICAS|NOAUTH|WRONGPASS|NOPERM|BUSY)\b/;

/**
 * Runs Redis commands; their failures come out as QUEUE_UNAVAILABLE, anything else as it was thrown.
 * @throws FerryError QUEUE_UNAVAILABLE  Redis is away or refuses; the command may or may not have run
 */
export async function queueCall<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw asQueueError(thrown);
  }
}

export function asQueueError(thrown: unknown): unknown {
  if (!(thrown instanceof Error) || thrown instanceof FerryError) return thrown;
  const text = `${thrown.name} ${thrown.message}`;
  if (!LOST_CONNECTION.test(text) && !UNABLE.test(text)) return thrown;
  // The cause goes to the log only: it may name hosts and paths.
  return new FerryError('QUEUE_UNAVAILABLE', 'the queue server cannot be reached', {}, { cause: thrown });
}
