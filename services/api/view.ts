/** A job as the API shows it. */

import type { CreatedJob } from '../../shared/queue/job-store.js';
import type { JobRecord } from '../../shared/queue/records.js';
import { ENDED_STATES, type JobView } from '../../shared/schemas/job.js';
import type { JobAccepted } from './schemas.js';

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
    ...(request.kind === 'upload' ? { source: request.source } : {}),
    target: request.target,
    ...(request.kind === 'zero' && request.ranges !== undefined ? { ranges: request.ranges } : {}),
    options: request.options,
    progress: record.progress,
    ...(record.result === null ? {} : { result: record.result }),
    ...(record.error === null ? {} : { error: record.error }),
    attempt: record.attempt,
    node: record.node,
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

export function hasEnded(record: JobRecord): boolean {
  return ENDED_STATES.includes(record.state);
}

/** Changes with everything that `jobView` shows. */
export function jobEtag(record: JobRecord): string {
  return `"${record.version}"`;
}
