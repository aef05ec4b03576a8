/** GET /openapi.json: this API, described. */
import type { ApiContext, Route } from '../context.js';
import { openApiDocument } from '../openapi.js';

export function openApi({ config, version }: ApiContext, others: readonly Route[]): Route {
  const self: Route = {
    method: 'get',
    path: '/openapi.json',
    open: true,
    operation: {
      operationId: 'openApi',
      summary: 'This document',
      responses: {
        200: { description: 'OpenAPI 3.1', content: { 'application/json': { schema: { type: 'object' } } } },
      },
    },
    async handle(_context, _request, response) {
      response.type('application/json').send(text);
    },
  };
  const text = JSON.stringify(openApiDocument([...others, self], version, config.api.token !== null));
  return self;
}
