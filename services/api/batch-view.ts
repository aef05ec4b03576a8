/**
 * A batch as the API shows it: what the queue knows of its disks, put together. Pure.
 * The batch's own state and counts are the queue's; states of VMs and all sums are made here.
 */
import type { BatchDetail, BatchRecord, CreatedBatch, DiskRecord } from '../../shared/queue/batch-records.js';
import type { BatchDiskView, BatchSummary, BatchView } from '../../shared/schemas/batch.js';
import type { JobState, Progress } from '../../shared/schemas/job.js';
import { ENDED_STATES } from '../../shared/states.js';
import type { BatchAccepted } from './schemas.js';

export function batchLinks(id: string): BatchSummary['links'] {
  return { self: `/v1/batches/${id}`, events: `/v1/batches/${id}/events` };
}

export function batchAccepted({ id, state, disks }: CreatedBatch): BatchAccepted {
  return { id, state, disks, links: batchLinks(id) };
}

export function batchSummary(record: BatchRecord): BatchSummary {
  return {
    id: record.id,
    name: record.name,
    state: record.state,
    pool: record.pool,
    labels: record.labels,
    maxConcurrentDisks: record.maxConcurrentDisks,
    onFailure: record.onFailure,
    counts: record.counts,
    createdAt: record.createdAt,
    startedAt: record.startedAt,
    endedAt: record.endedAt,
    links: batchLinks(record.id),
  };
}

export function batchView(detail: BatchDetail): BatchView {
  const isPaused = detail.state === 'paused';
  return {
    ...batchSummary(detail),
    progress: batchProgress(detail.vms.flatMap(({ disks }) => disks)),
    vms: detail.vms.map(({ name, disks }) => ({ name, state: vmState(disks, isPaused), disks: disks.map(diskView) })),
  };
}

/** What moves while nothing else changes. */
export function batchMovement(detail: BatchDetail): Pick<BatchView, 'id' | 'state' | 'counts' | 'progress'> {
  const { id, state, counts, vms } = detail;
  return { id, state, counts, progress: batchProgress(vms.flatMap(({ disks }) => disks)) };
}

function diskView({ jobId, state, phase, target, progress, error }: DiskRecord): BatchDiskView {
  return { jobId, state, phase, target, progress, ...(error === null ? {} : { error }) };
}

/** @param isPaused  true: so is its batch, and what waits will not run before that goes on */
export function vmState(disks: readonly Pick<DiskRecord, 'state'>[], isPaused = false): JobState {
  const has = (...states: JobState[]) => disks.some(({ state }) => states.includes(state));
  if (!has('queued', 'active', 'paused')) return has('failed') ? 'failed' : has('canceled') ? 'canceled' : 'completed';
  if (has('active')) return 'active';
  if (isPaused || !has('queued')) return 'paused';
  return has(...ENDED_STATES) ? 'active' : 'queued';
}

/**
 * The sum of the disks that were opened. Percent and etaSeconds look at all of them: nobody knows yet how large
 * a disk is that was not opened, so it counts as an average one of which nothing is done.
 * @returns null when no disk was opened yet
 */
export function batchProgress(disks: readonly Pick<DiskRecord, 'state' | 'progress'>[]): Progress | null {
  const known = disks.flatMap(({ progress }) => progress ?? []);
  if (known.length === 0) return null;
  const sum = (field: SummedField) => known.reduce((bytes, progress) => bytes + progress[field], 0);
  const totalBytes = sum('totalBytes');
  const average = totalBytes / known.length;
  const allCompleted = disks.every(({ state }) => state === 'completed');

  let done = 0;
  let remaining = 0;
  let bytesPerSecond = 0;
  for (const { state, progress } of disks) {
    const share = state === 'completed' ? 1 : (progress?.percent ?? 0) / 100;
    const size = progress?.totalBytes ?? average;
    done += size * share;
    if (ENDED_STATES.includes(state)) continue;
    remaining += size * (1 - share) * (progress === null ? 1 : passes(progress));
    if (state === 'active') bytesPerSecond += progress?.bytesPerSecond ?? 0;
  }
  // No rounding completes a batch while a disk is not.
  const percent = Math.min(99.9, Math.round((done / Math.max(1, average * disks.length)) * 1000) / 10);
  const allEnded = disks.every(({ state }) => ENDED_STATES.includes(state));
  return {
    totalBytes,
    dataBytes: sum('dataBytes'),
    zeroBytes: sum('zeroBytes'),
    doneBytes: sum('doneBytes'),
    durableBytes: sum('durableBytes'),
    verifiedBytes: sum('verifiedBytes'),
    percent: allCompleted ? 100 : percent,
    bytesPerSecond,
    etaSeconds: allEnded ? 0 : bytesPerSecond > 0 ? Math.ceil(remaining / bytesPerSecond) : null,
  };
}

type SummedField = 'totalBytes' | 'dataBytes' | 'zeroBytes' | 'doneBytes' | 'durableBytes' | 'verifiedBytes';

/** How often a disk's bytes are gone over: twice when they are verified, which its percent and its rate count too. */
function passes({ totalBytes, doneBytes, verifiedBytes, percent }: Progress): 1 | 2 {
  // A percent below 1 is rounded too coarsely to tell.
  return percent >= 1 && (doneBytes + verifiedBytes) / totalBytes > (1.5 * percent) / 100 ? 2 : 1;
}
