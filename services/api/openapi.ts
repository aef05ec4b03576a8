/** The OpenAPI 3.1 document, made of the routes and of the zod schemas that validate requests. */
import { createDocument, type ZodOpenApiPathsObject, type ZodOpenApiResponsesObject } from 'zod-openapi';
import { ERRORS, type ErrorCode } from '../../shared/errors.js';
import type { Route } from './context.js';
import { Problem } from './schemas.js';

/** Problem responses, grouped by status: `...problems('BAD_REQUEST', 'JOB_NOT_FOUND')`. */
export function problems(...codes: ErrorCode[]): ZodOpenApiResponsesObject {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const { status } = ERRORS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const responses: ZodOpenApiResponsesObject = {};
  for (const [status, group] of byStatus) {
    responses[`${status as 400}`] = {
      description: group.map((code) => `${code}: ${ERRORS[code].title}`).join('; '),
      content: { 'application/problem+json': { schema: Problem } },
    };
  }
  return responses;
}

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
