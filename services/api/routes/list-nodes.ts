/** GET /v1/nodes: the transfer nodes, how busy they are and when they were last heard of. */
import type { Route } from '../context.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { NodeList, NoQuery } from '../schemas.js';

export const listNodes: Route = {
  method: 'get',
  path: '/v1/nodes',
  operation: {
    operationId: 'listNodes',
    summary: 'List the transfer nodes',
    responses: {
      200: {
        description: 'every node that was heard of lately',
        content: { 'application/json': { schema: NodeList } },
      },
      ...problems('BAD_REQUEST', 'QUEUE_UNAVAILABLE'),
    },
  },
  async handle({ jobs }, request, response) {
    readQuery(NoQuery, request);
    const list: NodeList = { nodes: await jobs.nodes() };
    response.json(list);
  },
};
