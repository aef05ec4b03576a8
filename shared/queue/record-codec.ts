/** A job record as Redis keeps it: a flat hash of strings, '' for null, times in ms of the Redis clock. */
import type {
  ClientOffer,
  FinalizeRequest,
  JobError,
  JobKind,
  JobPhase,
  JobRequest,
  JobResult,
  JobState,
  Progress,
} from '../schemas/job.js';
import type { Checkpoint } from './checkpoint.js';
import type { JobRecord } from './records.js';

export type RecordHash = Readonly<Record<string, string>>;

/** @returns null for the empty hash that Redis answers for a missing key */
export function decodeRecord(hash: RecordHash): JobRecord | null {
  const id = hash.id;
  if (id === undefined) return null;
  return {
    id,
    kind: text(hash, 'kind') as JobKind,
    request: json<JobRequest>(hash, 'request') as JobRequest,
    state: text(hash, 'state') as JobState,
    phase: text(hash, 'phase') as JobPhase | null,
    progress: json<Progress>(hash, 'progress'),
    result: json<JobResult>(hash, 'result'),
    error: json<JobError>(hash, 'error'),
    attempt: Number(hash.attempt ?? 0),
    node: text(hash, 'node'),
    lostNode: text(hash, 'lost'),
    cancelRequested: hash.cancelRequested === '1',
    pauseRequested: hash.pauseRequested === '1',
    batch: hash.batch ? { id: hash.batch, vm: hash.vm ?? '' } : null,
    admitted: hash.admitted === '1',
    priority: Number(hash.priority ?? 0),
    bandwidthBytesPerSecond: decodeBandwidth(hash.bandwidth),
    checkpoint: json<Checkpoint>(hash, 'checkpoint'),
    offer: json<ClientOffer>(hash, 'offer'),
    finalize: json<FinalizeRequest>(hash, 'finalize'),
    createdAt: time(hash, 'createdAt') as string,
    startedAt: time(hash, 'startedAt'),
    endedAt: time(hash, 'endedAt'),
    version: Number(hash.version ?? 0),
  };
}

/** No limit is kept as 0. */
export function decodeBandwidth(value: string | null | undefined): number | null {
  return Number(value ?? 0) || null;
}

/** The `[key, value, key, value]` that HGETALL gives inside a script. */
export function pairsToHash(pairs: readonly string[]): RecordHash {
  const hash: Record<string, string> = {};
  for (let i = 0; i + 1 < pairs.length; i += 2) hash[pairs[i] as string] = pairs[i + 1] as string;
  return hash;
}

export function encodeJson(value: unknown): string {
  return value === null || value === undefined ? '' : JSON.stringify(value);
}

export function text(hash: RecordHash, field: string): string | null {
  return hash[field] || null;
}

export function json<T>(hash: RecordHash, field: string): T | null {
  const value = hash[field];
  return value ? (JSON.parse(value) as T) : null;
}

export function time(hash: RecordHash, field: string): string | null {
  const value = hash[field];
  return value ? new Date(Number(value)).toISOString() : null;
}
