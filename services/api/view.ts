/** A job as the API shows it. */
import type { CreatedJob } from '../../shared/queue/job-store.js';
import type { JobRecord } from '../../shared/queue/records.js';
import { isClientUpload, type JobView } from '../../shared/schemas/job.js';
import type { JobAccepted } from './schemas.js';
import { hasEnded } from './versioned.js';

export function jobLinks(id: string): JobView['links'] {
  return { self: `/v1/jobs/${id}`, events: `/v1/jobs/${id}/events` };
}

export function jobView(record: JobRecord): JobView {
  const { request } = record;
  return {
    id: record.id,
    kind: record.kind,
    state: record.state,
    phase: record.phase,
    pool: request.pool,
    labels: request.labels,
    batch: record.batch,
    ...(request.kind === 'zero' ? {} : { source: request.source }),
    ...(request.kind === 'download' ? {} : { target: request.target }),
    ...(request.kind === 'zero' && request.ranges !== undefined ? { ranges: request.ranges } : {}),
    options: optionsOf(record),
    ...clientOf(record),
    progress: record.progress,
    ...(record.result === null ? {} : { result: record.result }),
    ...(record.error === null ? {} : { error: record.error }),
    attempt: record.attempt,
    node: record.node,
    requested: requestedOf(record),
    createdAt: record.createdAt,
    startedAt: record.startedAt,
    endedAt: record.endedAt,
    links: jobLinks(record.id),
  };
}

/** As in a list: without ranges, of which each of a thousand jobs may have a thousand. */
export function jobSummary(record: JobRecord): JobView {
  const { ranges: _, ...summary } = jobView(record);
  return summary;
}

export function jobAccepted({ id, kind, state }: CreatedJob | JobRecord): JobAccepted {
  return { id, kind, state, links: jobLinks(id) };
}

/** Where the client of a job sends or reads; nothing for a job without one. */
export function clientOf({ request, offer, checkpoint }: JobRecord): Pick<JobView, 'upload' | 'download'> {
  if (request.kind === 'download') return { download: offer };
  if (!isClientUpload(request)) return {};
  return { upload: offer === null ? null : { ...offer, durable: pairsOf(checkpoint?.copied ?? []) } };
}

function pairsOf(packed: readonly number[]): [number, number][] {
  return Array.from({ length: packed.length / 2 }, (_, at) => [packed[2 * at] ?? 0, packed[2 * at + 1] ?? 0]);
}

/** The fields by which a log line says which job it is about. */
export function logIds({ id, batch }: JobRecord): { readonly job: string; readonly batch?: string } {
  return batch === null ? { job: id } : { job: id, batch: batch.id };
}

/** As in the request, but for what a PATCH may have changed since. */
function optionsOf({ request, priority, bandwidthBytesPerSecond }: JobRecord): JobView['options'] {
  return request.kind === 'download' ? { priority } : { ...request.options, priority, bandwidthBytesPerSecond };
}

/** What a job that has not ended was asked to do and has not done yet. */
function requestedOf(record: JobRecord): JobView['requested'] {
  if (hasEnded(record)) return null;
  if (record.cancelRequested) return 'cancel';
  if (record.pauseRequested && record.state !== 'paused') return 'pause';
  return record.finalize === null ? null : 'finalize';
}
