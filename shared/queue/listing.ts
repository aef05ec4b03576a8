/**
 * Pages of job records, newest first. Ids are UUIDv7, so their order is that of creation; a cursor is
 * the last id of a page, and stays right while jobs come and go.
 * Walks the smallest index that fits and drops what the other filters refuse; what one call may look
 * at is bounded, so a page can be short, even empty, and still have a next one.
 */
import type { Redis } from 'ioredis';
import { FerryError } from '../errors.js';
import { JobId } from '../schemas/common.js';
import type { JobKind, JobState } from '../schemas/job.js';
import { queueCall } from './connection.js';
import { type IndexField, keys } from './keys.js';
import { decodeRecord, type RecordHash } from './record-codec.js';
import type { JobRecord } from './records.js';

export interface JobFilter {
  readonly state?: JobState | undefined;
  readonly kind?: JobKind | undefined;
  readonly pool?: string | undefined;
  readonly batch?: string | undefined;
}

export interface JobPage {
  readonly jobs: readonly JobRecord[];
  /** null: this was the last page. */
  readonly nextCursor: string | null;
}

const FIELDS: readonly IndexField[] = ['state', 'kind', 'pool', 'batch'];
const WALK = 250;
const MAX_WALKED = 20_000;

/** @throws FerryError BAD_REQUEST  the cursor is not one of ours */
export async function listJobs(
  redis: Redis,
  filter: JobFilter,
  limit: number,
  cursor: string | undefined,
): Promise<JobPage> {
  return queueCall(async () => {
    const { index, rest } = await chooseIndex(redis, filter);
    const jobs: JobRecord[] = [];
    let max = cursor === undefined ? '+' : `(${decodeCursor(cursor)}`;
    for (let walked = 0; walked < MAX_WALKED; ) {
      const ids = await redis.zrevrangebylex(index, max, '-', 'LIMIT', 0, WALK);
      const last = ids.at(-1);
      if (last === undefined) return { jobs, nextCursor: null };
      const candidates = await matching(redis, ids, filter, rest);
      while (candidates.length > 0) {
        const batch = candidates.splice(0, limit - jobs.length);
        jobs.push(...(await readRecords(redis, batch, filter)));
        if (jobs.length < limit) continue;
        const more = await redis.zrevrangebylex(index, `(${batch.at(-1)}`, '-', 'LIMIT', 0, 1);
        return { jobs, nextCursor: more.length > 0 ? encodeCursor(batch.at(-1) as string) : null };
      }
      if (ids.length < WALK) return { jobs, nextCursor: null };
      max = `(${last}`;
      walked += ids.length;
    }
    return { jobs, nextCursor: encodeCursor(max.slice(1)) };
  });
}

async function chooseIndex(redis: Redis, filter: JobFilter): Promise<{ index: string; rest: IndexField[] }> {
  const wanted = FIELDS.filter((field) => filter[field] !== undefined);
  const sizes = await Promise.all(
    wanted.map(async (field) => ({ field, size: await redis.zcard(keys.index(field, filter[field] as string)) })),
  );
  const smallest = sizes.sort((a, b) => a.size - b.size)[0];
  if (smallest === undefined) return { index: keys.all, rest: [] };
  const { field } = smallest;
  return { index: keys.index(field, filter[field] as string), rest: wanted.filter((other) => other !== field) };
}

/** The ids that pass the other filters: one round trip, without the large fields of the records. */
async function matching(
  redis: Redis,
  ids: readonly string[],
  filter: JobFilter,
  fields: readonly IndexField[],
): Promise<string[]> {
  if (fields.length === 0) return [...ids];
  const pipeline = redis.pipeline();
  for (const id of ids) pipeline.hmget(keys.job(id), ...fields);
  const replies = (await pipeline.exec()) ?? [];
  return ids.filter((_, at) => {
    const [error, values] = replies[at] ?? [null, []];
    if (error) throw error;
    return fields.every((field, i) => (values as (string | null)[])[i] === filter[field]);
  });
}

/** The records in one round trip. One may have been trimmed or moved on since the index was read: it is dropped. */
async function readRecords(redis: Redis, ids: readonly string[], filter: JobFilter): Promise<JobRecord[]> {
  const pipeline = redis.pipeline();
  for (const id of ids) pipeline.hgetall(keys.job(id));
  const records: JobRecord[] = [];
  for (const [error, hash] of (await pipeline.exec()) ?? []) {
    if (error) throw error;
    const record = decodeRecord(hash as RecordHash);
    if (record !== null && (filter.state === undefined || record.state === filter.state)) records.push(record);
  }
  return records;
}

export function encodeCursor(id: string): string {
  return Buffer.from(id, 'latin1').toString('base64url');
}

export function decodeCursor(cursor: string): string {
  const id = Buffer.from(cursor, 'base64url').toString('latin1');
  if (JobId.safeParse(id).success && encodeCursor(id) === cursor) return id;
  throw new FerryError('BAD_REQUEST', 'cursor: must be the nextCursor of an earlier answer', { field: 'cursor' });
}

/** @returns number of jobs by pool and state; pools that never had a job are left out */
export async function countJobs(redis: Redis): Promise<Record<string, Partial<Record<JobState, number>>>> {
  const hash: RecordHash = await queueCall(() => redis.hgetall(keys.counts));
  const counts: Record<string, Partial<Record<JobState, number>>> = {};
  for (const [key, value] of Object.entries(hash)) {
    const [pool, state] = key.split('|') as [string, JobState];
    counts[pool] ??= {};
    counts[pool][state] = Number(value);
  }
  return counts;
}
