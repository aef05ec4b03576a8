/** The OpenAPI 3.1 document, made of the routes and of the zod schemas that validate requests. */
import { createDocument, type ZodOpenApiPathsObject, type ZodOpenApiResponsesObject } from 'zod-openapi';
import type { Route } from './context.js';
import { problems } from './openapi.js';

export function openApiDocument(routes: readonly Route[], version: string, withToken: boolean): unknown {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const { path, method, operation, open } of routes) {
    const responses: ZodOpenApiResponsesObject = {
      ...operation.responses,
      ...problems('INTERNAL'),
      ...(open ? {} : problems('UNAUTHORIZED')),
    };
    paths[path] ??= {};
    paths[path][method] = { ...operation, responses, ...(open ? { security: [] } : {}) };
  }
  return createDocument({
    openapi: '3.1.0',
    info: {
      title: 'imageferry',
      version,
      description: 'Moves virtual machine disk images onto storage. Sizes are bytes, times RFC 3339 in UTC.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    security: withToken ? [{ token: [] }] : [{ token: [] }, {}],
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'FERRY_API_TOKEN, where it is set' } },
    },
    paths: paths as ZodOpenApiPathsObject,
  });
}
