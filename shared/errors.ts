/**
 * Every error a caller can meet: a stable code first, a sentence second.
 * One table decides the HTTP status and whether a job with that error is tried again.
 * Callers compare `code`; nobody parses a message.
 */

export const ERRORS = {
  // What the client sent.
  BAD_REQUEST: { status: 400, retry: false, title: 'The request is not valid' },
  BAD_JSON: { status: 400, retry: false, title: 'The body is not valid JSON' },
  UNAUTHORIZED: { status: 401, retry: false, title: 'A valid bearer token is needed' },
  PATH_FORBIDDEN: { status: 403, retry: false, title: 'The path is outside the storage roots' },
  TICKET_REFUSED: { status: 403, retry: false, title: 'The ticket does not allow this, or not any more' },
  NOT_FOUND: { status: 404, retry: false, title: 'There is no such resource' },
  JOB_NOT_FOUND: { status: 404, retry: false, title: 'There is no such job' },
  BATCH_NOT_FOUND: { status: 404, retry: false, title: 'There is no such batch' },
  METHOD_NOT_ALLOWED: { status: 405, retry: false, title: 'The resource has no such method' },
  NOT_ACCEPTABLE: { status: 406, retry: false, title: 'No representation that the client accepts' },
  JOB_STATE_CONFLICT: { status: 409, retry: false, title: 'The job is in a state that does not allow this' },
  BATCH_STATE_CONFLICT: { status: 409, retry: false, title: 'The batch is in a state that does not allow this' },
  IDEMPOTENCY_CONFLICT: { status: 409, retry: false, title: 'The Idempotency-Key was used with another body' },
  BODY_TOO_LARGE: { status: 413, retry: false, title: 'The body is too large' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, retry: false, title: 'The body must be application/json' },
  PATH_NOT_FOUND: { status: 422, retry: false, title: 'The path does not exist' },
  PATH_NOT_SUPPORTED: { status: 422, retry: false, title: 'The path is of a kind that cannot hold an image' },
  NOT_SUPPORTED: { status: 422, retry: false, title: 'This is not supported' },
  POOL_UNKNOWN: { status: 422, retry: false, title: 'No node serves this pool' },
  // What the storage said.
  SOURCE_CHANGED: { status: 409, retry: false, title: 'The source changed while it was read' },
  SOURCE_BUSY: { status: 409, retry: true, title: 'The source is being written' },
  SOURCE_EMPTY: { status: 422, retry: false, title: 'The source has no bytes' },
  TARGET_IS_SOURCE: { status: 422, retry: false, title: 'Source and target are the same storage' },
  TARGET_TOO_SMALL: { status: 422, retry: false, title: 'The target is smaller than the image' },
  TARGET_BUSY: { status: 409, retry: false, title: 'The target is in use' },
  RANGE_OUTSIDE_TARGET: { status: 422, retry: false, title: 'A range lies outside the target' },
  STORAGE_FULL: { status: 507, retry: false, title: 'The storage has no space left' },
  STORAGE_DENIED: { status: 403, retry: false, title: 'The operating system refused access' },
  STORAGE_IO: { status: 500, retry: true, title: 'The storage reported an I/O error' },
  STORAGE_GONE: { status: 500, retry: false, title: 'The storage is gone' },
  FLUSH_FAILED: { status: 500, retry: false, title: 'What was written could not be made durable' },
  VERIFY_FAILED: { status: 500, retry: false, title: 'The target differs from the source' },
  ZERO_UNSUPPORTED: { status: 501, retry: false, title: 'The storage refused every method to zero' },
  // What happened to us.
  CANCELED: { status: 409, retry: false, title: 'The job was canceled' },
  CLIENT_IDLE: { status: 408, retry: false, title: 'The client was idle for too long' },
  INTERRUPTED: { status: 503, retry: true, title: 'The node stopped while the job ran' },
  LEASE_LOST: { status: 503, retry: true, title: 'The node may not write any more' },
  NATIVE_MODULE: { status: 500, retry: false, title: 'The native module could not be loaded' },
  CONFIG_INVALID: { status: 500, retry: false, title: 'The configuration is not valid' },
  QUEUE_UNAVAILABLE: { status: 503, retry: true, title: 'The queue cannot be reached' },
  NODE_UNAVAILABLE: { status: 503, retry: true, title: 'No node answered in time' },
  INTERNAL: { status: 500, retry: false, title: 'An unexpected error' },
} as const satisfies Record<string, { status: number; retry: boolean; title: string }>;

export type ErrorCode = keyof typeof ERRORS;

/** Facts beside the sentence. `field` is a JSON path into the request, such as `source.path`. */
export interface Details {
  readonly errno?: number | undefined;
  readonly syscall?: string | undefined;
  readonly path?: string | undefined;
  readonly field?: string | undefined;
  readonly [key: string]: string | number | boolean | null | undefined | readonly FieldProblem[];
}

export interface FieldProblem {
  readonly field: string;
  readonly message: string;
}

/** An error as plain data: the only form in which it crosses threads, Redis and HTTP. */
export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: Details;
}

export class FerryError extends Error {
  override readonly name = 'FerryError';
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details: Details = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  /** Whether the same work may succeed when it is tried again without anyone's help. */
  get retry(): boolean {
    return ERRORS[this.code].retry;
  }

  toWire(): WireError {
    return { code: this.code, message: this.message, details: this.details };
  }

  static fromWire(wire: WireError): FerryError {
    return new FerryError(wire.code, wire.message, wire.details);
  }
}

/** Any thrown value as a FerryError; what has no code of ours becomes INTERNAL and keeps its cause. */
export function asFerryError(thrown: unknown): FerryError {
  if (thrown instanceof FerryError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new FerryError('INTERNAL', message, {}, { cause: thrown });
}
