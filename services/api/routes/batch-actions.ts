/** POST /v1/batches/{id}/pause, /resume and /retry: what somebody asks of a batch without saying more. */
import type { Batches, BatchRecord } from '../../../shared/queue/batch-records.js';
import { BatchSummary } from '../../../shared/schemas/batch.js';
import { batchLinks, batchSummary } from '../batch-view.js';
import { readJson } from '../body.js';
import type { Route } from '../context.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { BatchPath, NoBody, NoQuery } from '../schemas.js';
import { validate } from '../validate.js';
import { batchIdOf } from './ids.js';

interface Action {
  readonly verb: 'pause' | 'resume' | 'retry';
  readonly summary: string;
  readonly description: string;
  /** What the 202 means. */
  readonly accepted: string;
  /** In the log. */
  readonly done: string;
  run(batches: Batches, id: string): Promise<BatchRecord>;
}

function batchAction({ verb, summary, description, accepted, done, run }: Action): Route {
  return {
    method: 'post',
    path: `/v1/batches/{id}/${verb}`,
    operation: {
      operationId: `${verb}Batch`,
      summary,
      description,
      requestParams: { path: BatchPath },
      requestBody: { required: false, content: { 'application/json': { schema: NoBody } } },
      responses: {
        202: { description: accepted, content: { 'application/json': { schema: BatchSummary } } },
        ...problems(
          'BAD_REQUEST',
          'BAD_JSON',
          'BATCH_NOT_FOUND',
          'BATCH_STATE_CONFLICT',
          'BODY_TOO_LARGE',
          'UNSUPPORTED_MEDIA_TYPE',
          'QUEUE_UNAVAILABLE',
        ),
      },
    },
    async handle({ jobs, log }, request, response) {
      const id = batchIdOf(request);
      readQuery(NoQuery, request);
      validate(NoBody, await readJson(request, response, false), 'body');
      const record = await run(jobs.batches, id);
      log.info({ batch: id, state: record.state }, done);
      response.status(202).location(batchLinks(id).self).json(batchSummary(record));
    },
  };
}

export const pauseBatch = batchAction({
  verb: 'pause',
  summary: 'Pause a batch',
  description:
    'Disks that run stop and keep what they did: they are `paused`. Disks that wait stay `queued`, but are not ' +
    'started. 409 when it has ended.',
  accepted: 'nothing more is started, and what runs is asked to stop',
  done: 'batch paused',
  run: (batches, id) => batches.pause(id),
});

export const resumeBatch = batchAction({
  verb: 'resume',
  summary: 'Let a paused batch go on',
  description: 'A disk that was paused by itself stays paused. 409 when it has ended.',
  accepted: 'what the pause of the batch stopped goes on',
  done: 'batch resumed',
  run: (batches, id) => batches.resume(id),
});

export const retryBatch = batchAction({
  verb: 'retry',
  summary: 'Queue the disks that failed once more',
  description: 'Also those that were canceled because another one failed. 409 when there are none.',
  accepted: 'queued',
  done: 'batch retried',
  run: (batches, id) => batches.retry(id),
});
