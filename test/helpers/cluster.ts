/**
 * A fleet whose parts are killed and started again by their names, and a client that outlives them: it asks again
 * while the API or its Redis is away.
 * `await using cluster = await Cluster.start({ roots: [dir.path], nodes: ['a', 'b'] });`
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { keys } from '../../shared/queue/keys.js';
import { decodeRecord } from '../../shared/queue/record-codec.js';
import type { JobRecord } from '../../shared/queue/records.js';
import type { BatchRequestInput, BatchView } from '../../shared/schemas/batch.js';
import type { JobRequestInput, JobState, JobView } from '../../shared/schemas/job.js';
import { ENDED_STATES } from '../../shared/states.js';
import { Fleet, type FleetNode } from './fleet.js';
import type { TestRedis } from './redis.js';

export interface ClusterOptions {
  readonly roots: readonly string[];
  /** Names of the nodes; default: one. */
  readonly nodes?: readonly string[];
  /** For all programs, over what is set below. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Short times, so that what a dead node held is taken over soon and a checkpoint comes often. */
const LEASE_MS = 1500;
const QUICK = { FERRY_FLUSH_INTERVAL_MS: '200', FERRY_THREADS: '4' };
/** How long a request is repeated while the API or its Redis is away. */
const AWAY_MS = 30_000;
/** Between two looks; an answer that waits may be lost with the API. */
const LOOK_MS = 150;

export class Cluster implements AsyncDisposable {
  readonly #fleet: Fleet;
  readonly #running = new Map<string, FleetNode>();
  readonly #ended: FleetNode[] = [];
  readonly nodes: readonly string[];

  static async start({ roots, nodes = ['a'], env = {} }: ClusterOptions): Promise<Cluster> {
    const fleet = await Fleet.withoutPrograms({ roots, leaseMs: LEASE_MS, env: { ...QUICK, ...env } });
    const cluster = new Cluster(fleet, nodes);
    try {
      await Promise.all(cluster.parts.map((part) => cluster.startProgram(part)));
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  private constructor(fleet: Fleet, nodes: readonly string[]) {
    this.#fleet = fleet;
    this.nodes = nodes;
  }

  get redis(): TestRedis {
    return this.#fleet.redis;
  }

  /** `api` and the names of the nodes. */
  get parts(): readonly string[] {
    return ['api', ...this.nodes];
  }

  /** Of a node. */
  pid(name: string): number {
    return this.#need(name).pid;
  }

  /** Resolves when the program says that it is ready. */
  async startProgram(part: string): Promise<void> {
    if (part === 'api') await this.#fleet.startApi();
    else this.#running.set(part, await this.#fleet.startNode(part));
  }

  /** As a crash: SIGKILL. */
  async kill(part: string): Promise<void> {
    await this.end(part, 'SIGKILL');
  }

  async end(part: string, signal: NodeJS.Signals): Promise<void> {
    if (part === 'api') return await this.#fleet.endApi(signal);
    const node = this.#need(part);
    await node.end(signal);
    this.#running.delete(part);
    this.#ended.push(node);
  }

  async stop(): Promise<void> {
    await this.#fleet[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** What the nodes have logged, those that are gone too; a last line that was cut off by a kill is left out. */
  nodeLog(): Record<string, unknown>[] {
    return [...this.#ended, ...this.#running.values()]
      .flatMap((node) => node.stderr().split('\n'))
      .flatMap((line) => {
        try {
          return [JSON.parse(line) as Record<string, unknown>];
        } catch {
          return [];
        }
      });
  }

  /** Repeats the request while the API or its Redis is away; that is safe, since what creates has a key. */
  async request<T>(method: string, path: string, body?: unknown): Promise<T> {
    const init = {
      method,
      headers: { 'content-type': 'application/json', 'idempotency-key': randomUUID() },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    };
    const deadline = Date.now() + AWAY_MS;
    for (;;) {
      const answer = await this.#fleet.api.fetch(path, init).catch(() => null);
      const json = await answer?.json().catch(() => null);
      if (answer?.ok && json !== null) return json as T;
      const away = answer === null || answer.ok || answer.status === 503;
      if (!away || Date.now() > deadline) {
        throw new Error(`${method} ${path}: ${answer?.status ?? 'no answer'} ${JSON.stringify(json)}`);
      }
      await delay(LOOK_MS);
    }
  }

  /** @returns the id */
  async submit(request: JobRequestInput): Promise<string> {
    return (await this.request<JobView>('POST', '/v1/jobs', request)).id;
  }

  async submitBatch(request: BatchRequestInput): Promise<string> {
    return (await this.request<BatchView>('POST', '/v1/batches', request)).id;
  }

  async job(id: string): Promise<JobView> {
    return await this.request<JobView>('GET', `/v1/jobs/${id}`);
  }

  async batch(id: string): Promise<BatchView> {
    return await this.request<BatchView>('GET', `/v1/batches/${id}`);
  }

  /** The record behind the API, which knows the checkpoint too. */
  async record(id: string): Promise<JobRecord> {
    const redis = this.redis.client();
    try {
      const record = decodeRecord(await redis.hgetall(keys.job(id)));
      if (record === null) throw new Error(`there is no record of job ${id}`);
      return record;
    } finally {
      redis.disconnect();
    }
  }

  /** Records of all jobs that run. */
  async active(): Promise<JobRecord[]> {
    return await this.#inState('active');
  }

  /** Records of all jobs that wait. */
  async queued(): Promise<JobRecord[]> {
    return await this.#inState('queued');
  }

  /** Waits for a record for which `check` holds. @throws Error when the job ends without one, or it takes too long */
  async until(id: string, what: string, check: (record: JobRecord) => boolean, timeoutMs = 30_000): Promise<JobRecord> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const record = await this.record(id);
      if (check(record)) return record;
      if (isOver(record)) throw new Error(`the job ended before ${what}: ${JSON.stringify(record)}`);
      if (Date.now() > deadline) throw new Error(`waited in vain until ${what}: ${JSON.stringify(record)}`);
      await delay(LOOK_MS / 10);
    }
  }

  /** Waits until the job has ended, however that came. */
  async ended(id: string, timeoutMs = 60_000): Promise<JobView> {
    return await over(`job ${id}`, () => this.job(id), timeoutMs);
  }

  async batchEnded(id: string, timeoutMs = 60_000): Promise<BatchView> {
    return await over(`batch ${id}`, () => this.batch(id), timeoutMs);
  }

  async #inState(state: JobState): Promise<JobRecord[]> {
    const redis = this.redis.client();
    try {
      const ids = await redis.zrange(keys.index('state', state), '0', '-1');
      return await Promise.all(ids.map((id) => this.record(id)));
    } finally {
      redis.disconnect();
    }
  }

  #need(name: string): FleetNode {
    const node = this.#running.get(name);
    if (node === undefined) throw new Error(`node ${name} does not run`);
    return node;
  }
}

export function isOver({ state }: { readonly state: JobState }): boolean {
  return ENDED_STATES.includes(state);
}

async function over<T extends { readonly state: JobState }>(
  what: string,
  read: () => Promise<T>,
  timeoutMs: number,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const view = await read();
    if (isOver(view)) return view;
    if (Date.now() > deadline) throw new Error(`${what} has not ended after ${timeoutMs} ms: ${JSON.stringify(view)}`);
    await delay(LOOK_MS);
  }
}
