/** An answer that is no success: a status and one sentence for the client, as the imageio protocol has them. */
import { asFerryError, ERRORS, type ErrorCode } from '../../../shared/errors.js';

export class HttpError extends Error {
  override readonly name = 'HttpError';
  constructor(
    readonly status: number,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A range that the image does not have. */
export function unsatisfiable(message: string, size: bigint | number): HttpError {
  return new HttpError(416, message, { 'Content-Range': `bytes */${size}` });
}

/** What the storage layer says, and the status a client of this protocol knows for it; all else is 500. */
const STATUSES: Partial<Record<ErrorCode, number>> = {
  BAD_REQUEST: 400,
  PATH_FORBIDDEN: 403,
  STORAGE_DENIED: 403,
  // A ticket that was canceled, a job that was stopped, a lease that ran out: this client may not go on.
  CANCELED: 403,
  LEASE_LOST: 403,
  TARGET_BUSY: 409,
  SOURCE_BUSY: 409,
};

/** Any thrown value as an answer. What may name paths of this machine stays in the log (`cause`). */
export function asHttpError(thrown: unknown): HttpError {
  if (thrown instanceof HttpError) return thrown;
  const { code, message } = asFerryError(thrown);
  const status = STATUSES[code] ?? 500;
  const text = status === 400 ? message : ERRORS[code].title;
  return new HttpError(status, text, {}, { cause: thrown });
}
