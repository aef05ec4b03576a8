/**
 * A real redis-server for one suite: unix socket in a temporary directory, append-only file on.
 * It can be killed and started again over the same data.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { type Loan, lend } from './cleanup.js';

export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly password: string;
}

export class TestRedis {
  readonly url: string;
  readonly #directory: string;
  readonly #loan: Loan;
  #child: ChildProcess | undefined;

  /** @param listen  also on TCP there, with a password, as for nodes on other machines: `url` says how */
  static async start(listen?: RedisAddress): Promise<TestRedis> {
    const redis = new TestRedis(await mkdtemp(join(tmpdir(), 'ferry-redis-')), listen);
    await redis.start();
    return redis;
  }

  private constructor(
    directory: string,
    private readonly listen: RedisAddress | undefined,
  ) {
    this.#directory = directory;
    this.url =
      listen === undefined ? `unix://${this.socket}` : `redis://:${listen.password}@${listen.host}:${listen.port}`;
    // Given back even when the test process dies early.
    this.#loan = lend(`redis-server in ${directory}`, () => {
      this.#child?.kill('SIGKILL');
      rmSync(directory, { recursive: true, force: true });
    });
  }

  get socket(): string {
    return join(this.#directory, 'redis.sock');
  }

  /** Starts the server over the data it left; resolves when it answers. */
  async start(): Promise<void> {
    const { host, port, password } = this.listen ?? {};
    const options = ['--port', `${port ?? 0}`, '--unixsocket', this.socket, '--dir', this.#directory, '--save', ''];
    if (host !== undefined) options.push('--bind', host, '--requirepass', String(password));
    // `always`: a test that kills the server must not lose what was acknowledged.
    options.push('--appendonly', 'yes', '--appendfsync', 'always');
    const child = spawn('redis-server', options, { stdio: ['ignore', 'ignore', 'ignore'] });
    this.#child = child;
    let failure: Error | undefined;
    child.once('error', (error) => {
      failure = new Error(`redis-server could not be started (Debian: redis-server): ${error.message}`);
    });
    const patient = { lazyConnect: true, retryStrategy: () => 20, maxRetriesPerRequest: null };
    const probe = new Redis(this.socket, { ...patient, ...this.#password });
    probe.on('error', () => {});
    try {
      const answered = probe.ping();
      while (failure === undefined && child.exitCode === null) {
        if ((await Promise.race([answered, delay(20)])) === 'PONG') return;
      }
      answered.catch(() => {});
      throw failure ?? new Error(`redis-server exited with ${child.exitCode}`);
    } finally {
      probe.disconnect();
    }
  }

  /** As a crash: SIGKILL. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** Empties the server between tests. */
  async flush(): Promise<void> {
    const redis = this.client();
    await redis.flushall();
    redis.disconnect();
  }

  /** A plain connection, to look behind the scenes; the caller disconnects it. */
  client(): Redis {
    return new Redis(this.socket, this.#password);
  }

  get #password(): { password?: string } {
    return this.listen === undefined ? {} : { password: this.listen.password };
  }

  async stop(): Promise<void> {
    await this.kill();
    await this.#loan.release();
  }
}
