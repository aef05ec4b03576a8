/** POST /v1/batches: queue the disks of many VMs at once, all of them or none. */
import { BatchRequest } from '../../../shared/schemas/batch.js';
import { checkBatch } from '../batch-check.js';
import { batchAccepted, batchLinks } from '../batch-view.js';
import { readJson } from '../body.js';
import type { Route } from '../context.js';
import { IdempotencyHeader, readIdempotencyKey } from '../idempotency.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { BatchAccepted, locationOf, NoQuery } from '../schemas.js';
import { validate } from '../validate.js';

export const createBatch: Route = {
  method: 'post',
  path: '/v1/batches',
  operation: {
    operationId: 'createBatch',
    summary: 'Submit a batch',
    description:
      'Every disk becomes one upload job. A path that is not allowed refuses the batch as a whole; one where nothing ' +
      'is yet does not: that disk fails by itself when it is still missing by the time the disk is run.',
    requestParams: { header: IdempotencyHeader },
    requestBody: { required: true, content: { 'application/json': { schema: BatchRequest } } },
    responses: {
      202: {
        description: 'queued, or queued before under the same Idempotency-Key',
        headers: locationOf('batch'),
        content: { 'application/json': { schema: BatchAccepted } },
      },
      ...problems(
        'BAD_REQUEST',
        'BAD_JSON',
        'PATH_FORBIDDEN',
        'STORAGE_DENIED',
        'IDEMPOTENCY_CONFLICT',
        'BODY_TOO_LARGE',
        'UNSUPPORTED_MEDIA_TYPE',
        'PATH_NOT_SUPPORTED',
        'POOL_UNKNOWN',
        'TARGET_IS_SOURCE',
        'QUEUE_UNAVAILABLE',
      ),
    },
  },
  async handle(context, request, response) {
    readQuery(NoQuery, request);
    const { jobs, log } = context;
    const idempotencyKey = readIdempotencyKey(request);
    const batch = validate(BatchRequest, await readJson(request, response, true), 'body');
    // A repeated request is answered as the first was, whatever the storage looks like by now.
    let created = idempotencyKey === undefined ? null : await jobs.batches.findCreated(batch, idempotencyKey);
    if (created === null) {
      await checkBatch(context, batch);
      created = await jobs.batches.create(batch, { idempotencyKey });
      if (!created.replayed) log.info({ batch: created.id, pool: batch.pool, disks: created.disks }, 'batch submitted');
    }
    response.status(202).location(batchLinks(created.id).self).json(batchAccepted(created));
  },
};
