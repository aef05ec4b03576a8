/** DELETE /v1/batches/{id}: cancel every disk that has not ended. */
import { BatchSummary } from '../../../shared/schemas/batch.js';
import { batchSummary } from '../batch-view.js';
import type { Route } from '../context.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { BatchPath, NoQuery } from '../schemas.js';
import { batchIdOf } from './ids.js';

export const cancelBatch: Route = {
  method: 'delete',
  path: '/v1/batches/{id}',
  operation: {
    operationId: 'cancelBatch',
    summary: 'Cancel a batch',
    description: 'What is completed stays completed.',
    requestParams: { path: BatchPath },
    responses: {
      202: {
        description: 'what waited is canceled; what runs is asked to stop',
        content: { 'application/json': { schema: BatchSummary } },
      },
      ...problems('BAD_REQUEST', 'BATCH_NOT_FOUND', 'BATCH_STATE_CONFLICT', 'QUEUE_UNAVAILABLE'),
    },
  },
  async handle({ jobs, log }, request, response) {
    const id = batchIdOf(request);
    readQuery(NoQuery, request);
    const record = await jobs.batches.cancel(id);
    log.info({ batch: id, state: record.state }, 'batch canceled');
    response.status(202).json(batchSummary(record));
  },
};
