/** GET /v1/batches: pages of batches, newest first, without their disks. */
import { batchSummary } from '../batch-view.js';
import type { Route } from '../context.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { BatchList, ListBatchesQuery } from '../schemas.js';

const DEFAULT_LIMIT = 100;

export const listBatches: Route = {
  method: 'get',
  path: '/v1/batches',
  operation: {
    operationId: 'listBatches',
    summary: 'List batches, newest first',
    requestParams: { query: ListBatchesQuery },
    responses: {
      200: { description: 'one page', content: { 'application/json': { schema: BatchList } } },
      ...problems('BAD_REQUEST', 'QUEUE_UNAVAILABLE'),
    },
  },
  async handle({ jobs }, request, response) {
    const { limit = DEFAULT_LIMIT, cursor, ...filter } = readQuery(ListBatchesQuery, request);
    const page = await jobs.batches.list(filter, limit, cursor);
    const list: BatchList = { batches: page.batches.map(batchSummary), nextCursor: page.nextCursor };
    response.json(list);
  },
};
