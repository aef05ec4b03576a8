/** A job as the API shows it. */
import type { CreatedJob } from '../../shared/queue/job-store.js';
import type { JobRecord } from '../../shared/queue/records.js';
import type { JobView } from '../../shared/schemas/job.js';
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
    ...(request.kind === 'upload' ? { source: request.source } : {}),
    target: request.target,
    ...(request.kind === 'zero' && request.ranges !== undefined ? { ranges: request.ranges } : {}),
    options: optionsOf(record),
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

/** The fields by which a log line says which job it is about. */
export function logIds({ id, batch }: JobRecord): { readonly job: string; readonly batch?: string } {
  return batch === null ? { job: id } : { job: id, batch: batch.id };
}

/** As in the request, but for what a PATCH may have changed since. */
function optionsOf({ request, priority, bandwidthBytesPerSecond }: JobRecord): JobView['options'] {
  return { ...request.options, priority, bandwidthBytesPerSecond };
}

/** What a job that has not ended was asked to do and has not done yet. */
function requestedOf(record: JobRecord): JobView['requested'] {
  if (hasEnded(record)) return null;
  if (record.cancelRequested) return 'cancel';
  return record.pauseRequested && record.state !== 'paused' ? 'pause' : null;
}
