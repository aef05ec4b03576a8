/**
 * Brings BullMQ into line with the job records: after a crash between recording a job and scheduling
 * it, after BullMQ gave a job up whose node died, after a restart of Redis.
 * Any number of processes may run this at once, and again: adding is ignored when BullMQ has the job,
 * and every change of a record is fenced by its attempt.
 */
import type { Redis } from 'ioredis';
import type { Log } from '../log.js';
import type { JobError } from '../schemas/job.js';
import { queueCall } from './connection.js';
import { keys } from './keys.js';
import { decodeRecord, encodeJson } from './record-codec.js';
import type { JobRecord } from './records.js';
import type { RunScript } from './run-script.js';
import type { Scheduler } from './scheduler.js';

export interface Reconciler {
  readonly redis: Redis;
  readonly scheduler: Scheduler;
  readonly run: RunScript;
  readonly log: Log;
}

const PAGE = 200;

/** How often a job may lose its node before it fails: restarts are no fault of it, but one that kills nodes must end. */
export const MAX_ABANDONED = 10;
export const NODE_LOST: JobError = { code: 'INTERRUPTED', message: 'the node that ran the job is gone' };

/** Schedules what was recorded and perhaps not scheduled. @returns number of jobs that need another look soon */
export async function drainOutbox(r: Reconciler): Promise<number> {
  const ids = await queueCall(() => r.redis.zrange(keys.outbox, '0', String(PAGE * 10 - 1)));
  let unsettled = 0;
  for (const id of ids) if (!(await settle(r, id))) unsettled++;
  return unsettled;
}

/** Looks at every job that has not ended. @returns number of jobs that had to be scheduled again */
export async function sweep(r: Reconciler): Promise<number> {
  return (await sweepState(r, 'active')) + (await sweepState(r, 'queued'));
}

/**
 * Makes sure that one job that should run is scheduled.
 * @returns false when an earlier run of it is just leaving BullMQ: look again soon
 */
export async function settle(r: Reconciler, id: string): Promise<boolean> {
  const record = await read(r, id);
  if (record === null || !record.admitted || (record.state !== 'queued' && record.state !== 'active')) {
    await queueCall(() => r.redis.zrem(keys.outbox, id));
    return true;
  }
  const { pool } = record.request;
  // The record was read before the entry: were the entry read first, a start in between would look like a loss.
  let entry = await r.scheduler.entry(id, pool);
  if (record.state === 'active') {
    if (entry === 'active') return true;
    const state = await r.run('abandon', id, record.attempt, MAX_ABANDONED, encodeJson(NODE_LOST));
    // Whoever has the lease may still write; nobody else gets the job before it has run out.
    if (state === 'leased') return false;
    const batch = record.batch === null ? {} : { batch: record.batch.id };
    r.log.warn({ job: id, ...batch, attempt: record.attempt, from: record.node, state }, 'a running job lost its node');
    if (state !== 'queued') return true;
  }
  if (entry === 'failed' || entry === 'completed') {
    // Should have been removed when it ended; while it is there, BullMQ ignores an add.
    await r.scheduler.remove(id, pool);
    entry = 'missing';
  }
  if (entry === 'missing') await r.scheduler.add(id, record.kind, pool, record.priority);
  // Queued here but active there: a worker is about to start it, or is about to let an earlier run go.
  if (entry === 'active') return false;
  await queueCall(() => r.redis.zrem(keys.outbox, id));
  return true;
}

async function sweepState(r: Reconciler, state: 'active' | 'queued'): Promise<number> {
  let settled = 0;
  let min = '-';
  for (;;) {
    const ids = await queueCall(() => r.redis.zrangebylex(keys.index('state', state), min, '+', 'LIMIT', 0, PAGE));
    const last = ids.at(-1);
    if (last === undefined) return settled;
    for (const id of await suspects(r, ids, state)) {
      await settle(r, id);
      settled++;
    }
    min = `(${last}`;
  }
}

/** Of queued jobs, those that BullMQ lacks; of active ones (few), those whose entry is not active. */
async function suspects(r: Reconciler, ids: readonly string[], state: 'active' | 'queued'): Promise<string[]> {
  const pipeline = r.redis.pipeline();
  for (const id of ids) pipeline.hmget(keys.job(id), 'pool', 'admitted');
  const replies = (await queueCall(() => pipeline.exec())) ?? [];
  const jobs = ids.flatMap((id, at) => {
    const [pool, admitted] = (replies[at]?.[1] ?? []) as (string | null)[];
    // Thousands may wait for a place in their batch: BullMQ does not know them, and that is right.
    return typeof pool === 'string' && admitted === '1' ? [{ id, pool }] : [];
  });
  if (state === 'queued') return [...(await r.scheduler.missing(jobs))];
  const lost: string[] = [];
  for (const job of jobs) if ((await r.scheduler.entry(job.id, job.pool)) !== 'active') lost.push(job.id);
  return lost;
}

async function read(r: Reconciler, id: string): Promise<JobRecord | null> {
  return decodeRecord(await queueCall(() => r.redis.hgetall(keys.job(id))));
}
