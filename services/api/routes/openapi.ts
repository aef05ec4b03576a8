/** GET /openapi.json: this API, described. */
import type { ApiContext, Route } from '../context.js';

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
      text ??= describe().catch((thrown: unknown) => {
        // Or one moment without descriptors would be an error for ever.
        text = undefined;
        throw thrown;
      });
      response.type('application/json').send(await text);
    },
  };
  // Made when somebody asks: few do, and a server that starts should not wait for it.
  let text: Promise<string> | undefined;
  const describe = async () => {
    const { openApiDocument } = await import('../openapi-document.js');
    return JSON.stringify(openApiDocument([...others, self], version, config.api.token !== null));
  };
  return self;
}
