/** What several routes say of themselves in the OpenAPI document. */
import type { ZodOpenApiResponsesObject } from 'zod-openapi';
import { ERRORS, type ErrorCode } from '../../shared/errors.js';
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
