/**
 * GET /v1/batches/{id}: one batch with its disks; with `?wait=SECONDS` when it changes (long poll).
 * A batch of a thousand disks changes all the time, and its view is large: a client that polls in a loop must not
 * keep us busy with it. So changes that follow each other quickly come as one answer.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { BatchDetail, Batches } from '../../../shared/queue/batch-records.js';
import { BatchView } from '../../../shared/schemas/batch.js';
import { batchView } from '../batch-view.js';
import type { Route } from '../context.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { BatchPath, GetQuery } from '../schemas.js';
import { answerVersion, EtagHeader, hasEnded, KnownVersion } from '../versioned.js';
import { batchIdOf, batchNotFound } from './ids.js';

const GATHER_MS = 250;

export const getBatch: Route = {
  method: 'get',
  path: '/v1/batches/{id}',
  operation: {
    operationId: 'getBatch',
    summary: 'Read a batch, or wait until it changes',
    description:
      'With `wait` the answer comes a quarter of a second after the next change of any disk, at once when the batch ' +
      'has ended, and unchanged when the time is over. `If-None-Match` works as for a job.',
    requestParams: { path: BatchPath, query: GetQuery, header: KnownVersion },
    responses: {
      200: {
        description: 'the batch',
        headers: EtagHeader,
        content: { 'application/json': { schema: BatchView } },
      },
      304: { description: 'not changed since the version in If-None-Match' },
      ...problems('BAD_REQUEST', 'BATCH_NOT_FOUND', 'QUEUE_UNAVAILABLE'),
    },
  },
  async handle(context, request, response) {
    const id = batchIdOf(request);
    const { wait = 0 } = readQuery(GetQuery, request);
    await answerVersion(context, request, response, wait, {
      next: (since, timeoutMs, signal) => nextOf(context.jobs.batches, id, since, timeoutMs, signal),
      view: batchView,
      missing: () => batchNotFound(id),
    });
  },
};

async function nextOf(
  batches: Batches,
  id: string,
  since: number | 'current',
  timeoutMs: number,
  signal: AbortSignal,
): Promise<BatchDetail | null> {
  const deadline = performance.now() + timeoutMs;
  const now = await batches.waitForChange(id, since, timeoutMs, signal);
  const gatherMs = Math.min(GATHER_MS, deadline - performance.now());
  if (now === null || hasEnded(now) || gatherMs <= 0) return now;
  await delay(gatherMs, undefined, { signal }).catch(() => {});
  return await batches.get(id);
}
