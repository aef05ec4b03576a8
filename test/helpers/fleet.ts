/**
 * Many machines on one: `ferry api` and any number of `ferry node`, each a process of its own, over one redis-server.
 * `await using fleet = await Fleet.start({ roots: [dir.path], leaseMs: 1500 });`
 * Whatever a test leaves running or frozen is killed.
 */
import { FERRY, type Running, start } from '../integration/cli/programs.js';
import { type Api, connectApi } from './api-client.js';
import { type Loan, lend } from './cleanup.js';
import { TestRedis } from './redis.js';

export interface FleetOptions {
  /** Of the nodes: the API is on a machine that does not see the storage. */
  readonly roots: readonly string[];
  /** How soon nodes take over from each other. */
  readonly leaseMs: number;
  /** Default: one of its own, stopped at the end. */
  readonly redis?: TestRedis;
  /** For API and nodes alike. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Place {
  readonly env?: Readonly<Record<string, string>>;
  /** A program that runs the node by replacing itself, such as `ip netns exec <name>`. */
  readonly via?: readonly string[];
}

export interface FleetNode extends Running {
  readonly name: string;
}

export class Fleet implements AsyncDisposable {
  readonly redis: TestRedis;
  readonly #options: FleetOptions;
  readonly #programs = new Map<Running, Loan>();
  #api: { readonly program: Running; readonly client: Api } | undefined;

  /** Starts the API; nodes are started one by one. */
  static async start(options: FleetOptions, place: Place = {}): Promise<Fleet> {
    const fleet = await Fleet.withoutPrograms(options);
    await fleet.startApi(place);
    return fleet;
  }

  /** Starts Redis only. */
  static async withoutPrograms(options: FleetOptions): Promise<Fleet> {
    return new Fleet(options, options.redis ?? (await TestRedis.start()));
  }

  private constructor(options: FleetOptions, redis: TestRedis) {
    this.#options = options;
    this.redis = redis;
  }

  get api(): Api {
    if (this.#api === undefined) throw new Error('the API was not started');
    return this.#api.client;
  }

  async startApi(place: Place = {}): Promise<void> {
    const program = this.#start('api', { ...place, env: { FERRY_API_PORT: '0', ...place.env } });
    const { api } = JSON.parse(await program.line()) as { api: { url: string } };
    this.#api = { program, client: connectApi(api.url, place.env?.FERRY_API_TOKEN) };
  }

  async startNode(name: string, place: Place = {}): Promise<FleetNode> {
    const node = this.#start('node', { ...place, env: { FERRY_NODE_NAME: name, ...place.env } });
    await node.line();
    return { ...node, name };
  }

  /** The API can be started again afterwards. */
  async endApi(signal: NodeJS.Signals): Promise<void> {
    await this.#api?.program.end(signal);
  }

  /** Kills (or, with SIGTERM, ends) everything but Redis. Programs that are frozen are killed. */
  async endAll(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const programs = [...this.#programs];
    this.#programs.clear();
    await Promise.all(
      programs.map(async ([program, loan]) => {
        await program.end(signal);
        await loan.release();
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.endAll();
    if (this.#options.redis === undefined) await this.redis.stop();
  }

  #start(command: 'api' | 'node', { env, via }: Place): Running {
    const { roots, leaseMs } = this.#options;
    const all = {
      FERRY_REDIS_URL: this.redis.url,
      FERRY_STORAGE_ROOTS: command === 'node' ? roots.join(':') : '',
      FERRY_LEASE_MS: String(leaseMs),
      FERRY_RETRY_DELAY_MS: '100',
      ...this.#options.env,
      ...env,
    };
    const program = start(FERRY, [command], all, via);
    this.#programs.set(
      program,
      lend(`ferry ${command} (${program.pid})`, () => void program.child.kill('SIGKILL')),
    );
    return program;
  }
}
