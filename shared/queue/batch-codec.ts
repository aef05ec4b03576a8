/** A batch as Redis keeps it: a flat hash of strings, '' for null, times in ms of the Redis clock. */
import type { BatchCounts, BatchRequest } from '../schemas/batch.js';
import type { JobError, JobPhase, JobState, Progress } from '../schemas/job.js';
import { ENDED_STATES, JOB_STATES } from '../states.js';
import type { BatchDetail, BatchRecord, DiskRecord } from './batch-records.js';
import { json, type RecordHash, text, time } from './record-codec.js';

/** Name and number of disks of each VM, in the order of the request. */
export type BatchLayout = readonly (readonly [string, number])[];

/** @returns null for the empty hash that Redis answers for a missing key */
export function decodeBatch(hash: RecordHash): BatchRecord | null {
  const id = hash.id;
  if (id === undefined) return null;
  const counts = Object.fromEntries(
    JOB_STATES.map((state) => [state, Number(hash[`n:${state}`] ?? 0)]),
  ) as unknown as BatchCounts;
  return {
    id,
    name: hash.name ?? '',
    pool: hash.pool ?? '',
    labels: json<Record<string, string>>(hash, 'labels') ?? {},
    maxConcurrentDisks: Number(hash.max),
    onFailure: hash.onFailure as BatchRequest['onFailure'],
    state: stateOf(hash, counts),
    counts,
    createdAt: time(hash, 'createdAt') as string,
    startedAt: time(hash, 'startedAt'),
    endedAt: time(hash, 'endedAt'),
    version: Number(hash.version ?? 0),
  };
}

const DISK_FIELDS = 6;

/** @param disks  for each disk: job id, state, phase, progress, error, path of the target */
export function decodeDetail(hash: RecordHash, disks: readonly string[]): BatchDetail | null {
  const batch = decodeBatch(hash);
  if (batch === null) return null;
  let at = 0;
  const next = (): DiskRecord => {
    const [jobId, state, phase, progress, error, target] = disks.slice(at, at + DISK_FIELDS);
    at += DISK_FIELDS;
    const fields: RecordHash = { progress: progress ?? '', error: error ?? '' };
    return {
      jobId: jobId ?? '',
      state: state as JobState,
      phase: (phase || null) as JobPhase | null,
      target: target ?? '',
      progress: json<Progress>(fields, 'progress'),
      error: json<JobError>(fields, 'error'),
    };
  };
  const layout = json<BatchLayout>(hash, 'layout') ?? [];
  const vms = layout.map(([name, count]) => ({ name, disks: Array.from({ length: count }, next) }));
  return { ...batch, vms };
}

export function isOver(batch: BatchRecord): boolean {
  return ENDED_STATES.includes(batch.state);
}

/** How it ended is recorded with its last disk; until then the state follows from what its disks do. */
function stateOf(hash: RecordHash, counts: BatchCounts): JobState {
  const ended = text(hash, 'endState');
  if (ended !== null) return ended as JobState;
  if (counts.active > 0) return 'active';
  if (hash.paused === '1' || (counts.queued === 0 && counts.paused > 0)) return 'paused';
  return text(hash, 'startedAt') === null ? 'queued' : 'active';
}
