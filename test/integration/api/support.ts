/** A real API over a real redis-server and real files, with a client that can also misbehave. */
import { execFileSync } from 'node:child_process';
import { mkdir, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { type RunningApi, startApi } from '../../../services/api/server.js';
import { createLog, type Log } from '../../../shared/log.js';
import { JobStore } from '../../../shared/queue/job-store.js';
import { PlanClient } from '../../../shared/queue/plans.js';
import { TestRedis } from '../../helpers/redis.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';

export const log = createLog('silent');

/** A log that is kept, line by line. */
export function recordingLog(): { readonly log: Log; readonly lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  return { lines, log: pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line)) }) };
}

export interface ApiSetup {
  readonly token?: string;
  readonly host?: string;
  readonly checkStorage?: boolean;
  readonly planTimeoutMs?: number;
  readonly heartbeatMs?: number;
  readonly log?: Log;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  readonly json: any;
}

export interface Sent {
  readonly headers?: Record<string, string | string[]>;
  readonly body?: unknown;
  /** Sent as it is, instead of `body`. */
  readonly raw?: string | Buffer;
}

export interface VmPlan {
  readonly name: string;
  /** For each disk: what the fake node does with it. */
  readonly acts: readonly string[];
}

export class TestApi {
  private constructor(
    readonly redis: TestRedis,
    readonly jobs: JobStore,
    readonly plans: PlanClient,
    readonly api: RunningApi,
    readonly dir: TempDir,
  ) {}

  /** `dir/root` is the only storage root; it holds in.img, out.raw, a directory, a FIFO, and symlinks that lead out. */
  static async start(setup: ApiSetup = {}): Promise<TestApi> {
    const dir = await tempDir();
    const root = dir.join('root');
    await mkdir(dir.join('root', 'sub'), { recursive: true });
    for (const name of ['root/in.img', 'root/out.raw', 'secret.img']) await writeFile(dir.join(name), 'x'.repeat(4096));
    await symlink(dir.join('secret.img'), dir.join('root', 'leak.img'));
    await symlink('in.img', dir.join('root', 'alias.img'));
    await symlink(dir.join('nowhere'), dir.join('root', 'dangling.img'));
    execFileSync('mkfifo', [dir.join('root', 'fifo')]);
    const redis = await TestRedis.start();
    const config = {
      api: { host: setup.host ?? '127.0.0.1', port: 0, token: setup.token ?? null },
      storageRoots: [root],
      nbdHosts: ['localhost'],
      pools: ['default', 'fast'],
      jobAttempts: 2,
      retryDelayMs: 10,
      keepJobs: { seconds: 3600, count: 10_000 },
      leaseMs: 10_000,
      poolConcurrency: new Map(),
    };
    const jobs = await JobStore.open({ redisUrl: redis.url, config, log });
    const plans = new PlanClient({ redisUrl: redis.url, log, timeoutMs: setup.planTimeoutMs ?? 5000 });
    const { checkStorage = true, heartbeatMs = 15_000 } = setup;
    const api = await startApi({
      config,
      log: setup.log ?? log,
      jobs,
      plans,
      version: '1.2.3',
      metrics: new Registry(),
      checkStorage,
      heartbeatMs,
    });
    return new TestApi(redis, jobs, plans, api, dir);
  }

  async stop(): Promise<void> {
    await this.api.close();
    await this.plans.close();
    await this.jobs.close();
    await this.redis.stop();
    await this.dir.release();
  }

  path(name: string): string {
    return this.dir.join('root', name);
  }

  upload(extra: Record<string, unknown> = {}): Record<string, unknown> {
    return {
      kind: 'upload',
      source: { type: 'file', path: this.path('in.img') },
      target: { type: 'file', path: this.path('new.raw') },
      ...extra,
    };
  }

  /** A batch of VMs with disks from in.img; each disk is a new target. */
  batch(vms: readonly VmPlan[], extra: Record<string, unknown> = {}): Record<string, unknown> {
    return {
      name: 'wave-1',
      vms: vms.map(({ name, acts }) => ({
        name,
        disks: acts.map((act, n) => ({
          source: { type: 'file', path: this.path('in.img') },
          target: { type: 'file', path: this.path(`${name}-${n}.raw`) },
          labels: { act },
        })),
      })),
      ...extra,
    };
  }

  async submitBatch(vms: readonly VmPlan[], extra: Record<string, unknown> = {}): Promise<string> {
    const { status, json, text } = await this.send('POST', '/v1/batches', { body: this.batch(vms, extra) });
    if (status !== 202) throw new Error(`the batch was answered with ${status}: ${text}`);
    return json.id as string;
  }

  /** One request on a connection of its own; nothing is corrected on the way. */
  async send(method: string, path: string, sent: Sent = {}): Promise<Reply> {
    const body = sent.raw ?? (sent.body === undefined ? undefined : JSON.stringify(sent.body));
    const headers: Record<string, string | string[]> = { ...sent.headers };
    if (body !== undefined && headers['content-type'] === undefined) headers['content-type'] = 'application/json';
    const response = await this.open(method, path, headers, body);
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const isJson = /json/.test(response.headers['content-type'] ?? '') && text !== '';
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      text,
      json: isJson ? JSON.parse(text) : undefined,
    };
  }

  /** As send, but leaves reading the answer to the caller. */
  open(
    method: string,
    path: string,
    headers: Record<string, string | string[]> = {},
    body?: string | Buffer,
  ): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const { hostname, port } = new URL(this.api.url);
      const outgoing = httpRequest({ host: hostname, port, method, path, headers, agent: false }, resolve);
      outgoing.once('error', reject);
      outgoing.end(body);
    });
  }

  /** Waits for the first view of a job or a batch for which `check` holds. */
  // biome-ignore lint/suspicious/noExplicitAny: as Reply
  async until(path: string, check: (view: any) => boolean): Promise<any> {
    let reply = await this.send('GET', path);
    for (;;) {
      if (reply.status !== 200) throw new Error(`${path} answered ${reply.status}: ${reply.text}`);
      if (check(reply.json)) return reply.json;
      const headers = { 'if-none-match': reply.headers.etag as string };
      reply = await this.send('GET', `${path}?wait=10`, { headers });
    }
  }

  async submit(extra: Record<string, unknown> = {}): Promise<string> {
    const { status, json, text } = await this.send('POST', '/v1/jobs', { body: this.upload(extra) });
    if (status !== 202) throw new Error(`submit answered ${status}: ${text}`);
    return json.id as string;
  }

  /** Names, sizes and times of everything in the storage: what must not change when a request is refused. */
  async storage(): Promise<string[]> {
    const names = (await readdir(this.dir.path, { recursive: true })).sort();
    return Promise.all(
      names.map(async (name) => {
        const found = await stat(this.dir.join(name)).catch(() => null);
        return `${name} ${found?.size} ${found?.mtimeMs} ${found?.ctimeMs}`;
      }),
    );
  }
}
