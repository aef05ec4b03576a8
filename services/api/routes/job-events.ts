/**
 * GET /v1/jobs/{id}/events: the job as Server-Sent Events, until it has ended.
 * `state` carries the whole job: at once, and when its state or attempt changes. `progress` carries what moves
 * while it runs.
 */
import type { JobRecord } from '../../../shared/queue/records.js';
import type { Route } from '../context.js';
import {
  refuseOtherThanEvents,
  type StreamEvent,
  StreamHeaders,
  streamEvents,
  streamResponses,
} from '../event-stream.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { JobPath, NoQuery } from '../schemas.js';
import { jobView } from '../view.js';
import { jobIdOf, jobNotFound } from './ids.js';

export const jobEvents: Route = {
  method: 'get',
  path: '/v1/jobs/{id}/events',
  operation: {
    operationId: 'watchJob',
    summary: 'Follow a job',
    description:
      'Server-Sent Events: `state` (data: the job) at once and when its state or attempt changes; `progress` ' +
      '(data: id, state, phase, progress) while it runs. Ends after the final `state`. A client that reconnects ' +
      'after that gets 204, which tells EventSource to stop.',
    requestParams: { path: JobPath, header: StreamHeaders },
    responses: {
      ...streamResponses('job'),
      ...problems('BAD_REQUEST', 'JOB_NOT_FOUND', 'NOT_ACCEPTABLE', 'QUEUE_UNAVAILABLE'),
    },
  },
  async handle(context, request, response) {
    const id = jobIdOf(request);
    readQuery(NoQuery, request);
    refuseOtherThanEvents(request);
    const record = await context.jobs.get(id);
    if (record === null) throw jobNotFound(id);
    await streamEvents(context, request, response, record, {
      next: (since, timeoutMs, signal) => context.jobs.waitForChange(id, since, timeoutMs, signal),
      event: jobEvent,
      paceMs: 0,
    });
  },
};

function jobEvent(now: JobRecord, sent: JobRecord | null): StreamEvent {
  if (now.state !== sent?.state || now.attempt !== sent.attempt) {
    return { name: 'state', data: () => jobView(now), canWait: false };
  }
  const { id, state, phase, progress } = now;
  return { name: 'progress', data: () => ({ id, state, phase, progress }), canWait: true };
}
