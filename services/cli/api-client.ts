/**
 * The API as the CLI speaks it: one function a request, answers as typed data, failures as FerryErrors.
 * An answer is trusted only as far as its shape is checked here; the codes are those of the server.
 */

import { z } from 'zod';
import { ERRORS, type ErrorCode, FerryError } from '../../shared/errors.js';
import { type JobRequestInput, JobView, Plan } from '../../shared/schemas/job.js';

const JobAccepted = z.looseObject({ id: z.string(), state: z.string() });
export type JobAccepted = z.infer<typeof JobAccepted>;
const JobPage = z.object({ jobs: z.array(JobView), nextCursor: z.string().nullable() });
export type JobPage = z.infer<typeof JobPage>;

const Problem = z.object({
  code: z.string(),
  detail: z.string(),
  errors: z.array(z.object({ field: z.string(), message: z.string() })).optional(),
});

/** A request must be answered within this time, and within what it asked the server to wait. */
const PATIENCE_MS = 30_000;

export interface JobFilter {
  readonly state?: string | undefined;
  readonly kind?: string | undefined;
  readonly pool?: string | undefined;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/** Every method throws a FerryError: ServerUnreachable when there was no answer, else what the server said. */
export class ApiClient {
  constructor(
    readonly url: string,
    private readonly token: string | null,
  ) {}

  async submit(request: JobRequestInput, idempotencyKey?: string): Promise<JobAccepted> {
    const headers: Record<string, string> = idempotencyKey === undefined ? {} : { 'Idempotency-Key': idempotencyKey };
    const answer = await this.ask('POST', '/v1/jobs', { body: request, headers });
    return understand(JobAccepted, answer.body);
  }

  async plan(request: JobRequestInput): Promise<Plan> {
    return understand(Plan, (await this.ask('POST', '/v1/jobs?dryRun=true', { body: request })).body);
  }

  async list({ limit, ...filter }: JobFilter): Promise<JobPage> {
    const query = new URLSearchParams({ limit: String(limit) });
    for (const [name, value] of Object.entries(filter)) if (value !== undefined) query.set(name, value);
    return understand(JobPage, (await this.ask('GET', `/v1/jobs?${query}`)).body);
  }

  async job(id: string): Promise<JobView> {
    return understand(JobView, (await this.ask('GET', jobPath(id))).body);
  }

  /**
   * Waits for a version of the job other than `etag`.
   * @returns null when nothing changed within `waitSeconds`
   */
  async jobAfter(id: string, etag: string | null, waitSeconds: number): Promise<{ job: JobView; etag: string } | null> {
    const headers: Record<string, string> = etag === null ? {} : { 'If-None-Match': etag };
    // Without a version in hand the present one is news.
    const query = etag === null ? '' : `?wait=${waitSeconds}`;
    const answer = await this.ask('GET', jobPath(id) + query, { headers, waitMs: waitSeconds * 1000 });
    if (answer.status === 304) return null;
    return { job: understand(JobView, answer.body), etag: answer.etag };
  }

  async cancel(id: string): Promise<JobView> {
    return understand(JobView, (await this.ask('DELETE', jobPath(id))).body);
  }

  async retry(id: string): Promise<JobView> {
    return understand(JobView, (await this.ask('POST', `${jobPath(id)}/retry`)).body);
  }

  private async ask(method: string, path: string, extra: Extra = {}): Promise<Answer> {
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
}

interface Extra {
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly waitMs?: number;
}

interface Answer {
  readonly status: number;
  readonly etag: string;
  readonly body: unknown;
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

function understand<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new FerryError(
    'INTERNAL',
    'The answer is not one of imageferry, or of another version of it',
    {},
    { cause: parsed.error },
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function jobPath(id: string): string {
  return `/v1/jobs/${encodeURIComponent(id)}`;
}
