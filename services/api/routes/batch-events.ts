/**
 * GET /v1/batches/{id}/events: the batch as Server-Sent Events, until it has ended.
 * `state` carries the whole batch: at once, and when its state or counts change. `progress` carries the sums
 * in between. A batch of a thousand disks changes all the time: there are at most two events a second.
 */
import type { BatchDetail } from '../../../shared/queue/batch-records.js';
import type { BatchCounts } from '../../../shared/schemas/batch.js';
import { batchMovement, batchView } from '../batch-view.js';
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
import { BatchPath, NoQuery } from '../schemas.js';
import { batchIdOf, batchNotFound } from './ids.js';

const PACE_MS = 500;

export const batchEvents: Route = {
  method: 'get',
  path: '/v1/batches/{id}/events',
  operation: {
    operationId: 'watchBatch',
    summary: 'Follow a batch',
    description:
      'Server-Sent Events: `state` (data: the batch) at once and when its state or counts change; `progress` ' +
      '(data: id, state, counts, progress) in between; at most two events a second. Ends after the final `state`. ' +
      'A client that reconnects after that gets 204, which tells EventSource to stop.',
    requestParams: { path: BatchPath, header: StreamHeaders },
    responses: {
      ...streamResponses('batch'),
      ...problems('BAD_REQUEST', 'BATCH_NOT_FOUND', 'NOT_ACCEPTABLE', 'QUEUE_UNAVAILABLE'),
    },
  },
  async handle(context, request, response) {
    const id = batchIdOf(request);
    readQuery(NoQuery, request);
    refuseOtherThanEvents(request);
    const { batches } = context.jobs;
    const batch = await batches.get(id);
    if (batch === null) throw batchNotFound(id);
    await streamEvents(context, request, response, batch, {
      next: (since, timeoutMs, signal) => batches.waitForChange(id, since, timeoutMs, signal),
      event: batchEvent,
      paceMs: PACE_MS,
    });
  },
};

function batchEvent(now: BatchDetail, sent: BatchDetail | null): StreamEvent {
  if (now.state !== sent?.state) return { name: 'state', data: () => batchView(now), canWait: false };
  // The next event compares with what was sent last: counts that a slow client missed come with it.
  if (!sameCounts(now.counts, sent.counts)) return { name: 'state', data: () => batchView(now), canWait: true };
  return { name: 'progress', data: () => batchMovement(now), canWait: true };
}

function sameCounts(a: BatchCounts, b: BatchCounts): boolean {
  return (Object.keys(a) as (keyof BatchCounts)[]).every((state) => a[state] === b[state]);
}
