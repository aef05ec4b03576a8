/**
 * HTTP as the CLI speaks it: a request, its answer as parsed JSON, every failure as a FerryError.
 * An answer is trusted only as far as its shape is checked (`understand`); the codes are those of the server.
 */
import { z } from 'zod';
import { ERRORS, type ErrorCode, FerryError } from '../../shared/errors.js';

const Problem = z.object({
  code: z.string(),
  detail: z.string(),
  errors: z.array(z.object({ field: z.string(), message: z.string() })).optional(),
});

/** A request must be answered within this time, and within what it asked the server to wait. */
const PATIENCE_MS = 30_000;

export interface Extra {
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly waitMs?: number;
}

export interface Answer {
  readonly status: number;
  readonly etag: string;
  readonly body: unknown;
}

/** A view, and the version of it that a next request may name. */
export interface News<View> {
  readonly view: View;
  readonly etag: string;
}

export class ApiTransport {
  constructor(
    readonly url: string,
    private readonly token: string | null,
  ) {}

  /** @throws FerryError  ServerUnreachable when there was no answer, else what the server said */
  async ask(method: string, path: string, extra: Extra = {}): Promise<Answer> {
    const headers: Record<string, string> = { accept: 'application/json, application/problem+json', ...extra.headers };
    if (this.token !== null) headers.authorization = `Bearer ${this.token}`;
    const init: RequestInit = { method, headers, signal: AbortSignal.timeout(PATIENCE_MS + (extra.waitMs ?? 0)) };
    if (extra.body !== undefined) {
      headers['content-type'] = 'application/json';
      init.body = JSON.stringify(extra.body);
    }
    let response: Response;
    let text: string;
    try {
      response = await fetch(this.url + path, init);
      text = await response.text();
    } catch (cause) {
      throw new ServerUnreachable(this.url, cause);
    }
    if (!response.ok && response.status !== 304) throw refusal(response.status, text, this.url);
    return { status: response.status, etag: response.headers.get('etag') ?? '', body: parseJson(text) };
  }

  /**
   * Waits for a version of what is at `path` other than `etag`. Without a version in hand the present one is news.
   * @returns null when nothing changed within `waitSeconds`
   */
  async askAfter<Schema extends z.ZodType>(
    schema: Schema,
    path: string,
    etag: string | null,
    waitSeconds: number,
  ): Promise<News<z.output<Schema>> | null> {
    const headers: Record<string, string> = etag === null ? {} : { 'If-None-Match': etag };
    const query = etag === null ? '' : `?wait=${waitSeconds}`;
    const answer = await this.ask('GET', path + query, { headers, waitMs: waitSeconds * 1000 });
    return answer.status === 304 ? null : { view: understand(schema, answer.body), etag: answer.etag };
  }
}

/** Nobody answered: a server that restarts is like that for a while. */
export class ServerUnreachable extends FerryError {
  constructor(url: string, cause: unknown) {
    super(
      'NODE_UNAVAILABLE',
      `No answer from ${url}: ${reason(cause)}. Start it with "ferry serve", or name it with --server or FERRY_API_URL`,
      {},
      { cause },
    );
  }
}

/** @throws FerryError INTERNAL when the answer has another shape */
export function understand<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new FerryError(
    'INTERNAL',
    'The answer is not one of imageferry, or of another version of it',
    {},
    { cause: parsed.error },
  );
}

/** `?name=value&…` of what is set; nothing when nothing is. */
export function queryOf(values: Readonly<Record<string, string | number | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== undefined) query.set(name, String(value));
  return query.size === 0 ? '' : `?${query}`;
}

export function keyHeader(idempotencyKey: string | undefined): Record<string, string> {
  return idempotencyKey === undefined ? {} : { 'Idempotency-Key': idempotencyKey };
}

/** fetch says "fetch failed"; what happened is in the cause of the cause. */
function reason(thrown: unknown): string {
  const cause = (thrown as { cause?: unknown }).cause ?? thrown;
  if (cause instanceof AggregateError && cause.errors.length > 0) return reason(cause.errors[0]);
  const { code, message } = cause as { code?: string; message?: string };
  if (code === 'ECONNREFUSED') return 'nothing listens there';
  return message !== undefined && message !== '' ? message : String(code ?? cause);
}

function refusal(status: number, text: string, url: string): FerryError {
  const problem = Problem.safeParse(parseJson(text));
  if (!problem.success || !(problem.data.code in ERRORS)) {
    // A proxy, or another program on that port.
    const code = status < 500 ? 'BAD_REQUEST' : status === 502 || status === 503 ? 'QUEUE_UNAVAILABLE' : 'INTERNAL';
    return new FerryError(code, `${url} answered ${status}, and not as imageferry does`);
  }
  const { code, detail, errors } = problem.data;
  return new FerryError(code as ErrorCode, detail, errors === undefined ? {} : { errors });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
