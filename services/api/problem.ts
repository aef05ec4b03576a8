/**
 * Every failed request ends here, as problem details (RFC 9457) with a code from `shared/errors.ts`.
 * What we did not expect is logged with its stack and answered with a sentence that tells nothing.
 */
import type { ErrorRequestHandler, Request, Response } from 'express';
import { asFerryError, ERRORS, type ErrorCode, FerryError, type FieldProblem } from '../../shared/errors.js';
import type { ApiContext } from './context.js';
import type { Problem } from './schemas.js';

/** What express and body-parser throw (`http-errors`), by their `type` or status. */
const BODY_ERRORS: Record<string, { code: ErrorCode; message: string }> = {
  'entity.parse.failed': { code: 'BAD_JSON', message: 'the body is not valid JSON' },
  'entity.verify.failed': { code: 'BAD_JSON', message: 'the body is not valid UTF-8' },
  'entity.too.large': { code: 'BODY_TOO_LARGE', message: 'the body is larger than 1 MiB' },
  'charset.unsupported': { code: 'UNSUPPORTED_MEDIA_TYPE', message: 'the body must be UTF-8' },
  'encoding.unsupported': { code: 'UNSUPPORTED_MEDIA_TYPE', message: 'the body must not be compressed' },
  'request.size.invalid': { code: 'BAD_REQUEST', message: 'the body is not as long as Content-Length says' },
  'request.aborted': { code: 'BAD_REQUEST', message: 'the request ended before its body did' },
};

export function problemHandler({ log }: Pick<ApiContext, 'log'>): ErrorRequestHandler {
  // Express knows an error handler by its four parameters.
  return (thrown: unknown, request: Request, response: Response, _next) => {
    const error = toFerryError(thrown);
    const unexpected = error.code === 'INTERNAL';
    const where = { method: request.method, path: request.path, code: error.code };
    if (unexpected) log.error({ ...where, err: error.cause ?? error }, 'a request failed unexpectedly');
    else if (error.status >= 500) log.warn({ ...where, err: error }, 'a request could not be served');
    // Too late for a problem: the client sees a broken answer, which is what it is.
    if (response.headersSent) response.destroy();
    else sendProblem(request, response, error);
  };
}

function sendProblem(request: Request, response: Response, error: FerryError): void {
  const { code, details } = error;
  const { status, title } = ERRORS[code];
  const problem: Problem = {
    type: `urn:imageferry:error:${code}`,
    title,
    status,
    detail: code === 'INTERNAL' ? 'The server met an error that it did not expect; its log says more.' : error.message,
    code,
    instance: request.originalUrl.split('?', 1)[0] as string,
  };
  const errors = fieldProblems(error);
  if (errors.length > 0) problem.errors = errors;
  if (typeof details.allow === 'string') response.set('Allow', details.allow);
  if (code === 'UNAUTHORIZED') response.set('WWW-Authenticate', 'Bearer realm="imageferry"');
  if (status === 503) response.set('Retry-After', '1');
  response.status(status).type('application/problem+json').send(JSON.stringify(problem));
}

function fieldProblems({ message, details }: FerryError): FieldProblem[] {
  if (Array.isArray(details.errors)) return [...(details.errors as FieldProblem[])];
  if (details.field === undefined) return [];
  return [{ field: details.field, message: message.replace(`${details.field}: `, '') }];
}

function toFerryError(thrown: unknown): FerryError {
  if (thrown instanceof FerryError || !(thrown instanceof Error)) return asFerryError(thrown);
  const { type, status } = thrown as { type?: unknown; status?: unknown };
  const known = typeof type === 'string' ? BODY_ERRORS[type] : undefined;
  if (known !== undefined) return new FerryError(known.code, known.message, {}, { cause: thrown });
  // The router: a path parameter that cannot be decoded.
  if (status === 400) return new FerryError('BAD_REQUEST', 'the path is not valid', {}, { cause: thrown });
  return asFerryError(thrown);
}

/** Several problems with what a client sent, as one error that names every field. */
export function invalid(problems: readonly FieldProblem[]): FerryError {
  const sentence = problems.map(({ field, message }) => `${field}: ${message}`).join('; ');
  return new FerryError('BAD_REQUEST', sentence, { errors: problems });
}
