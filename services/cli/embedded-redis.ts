/**
 * The embedded queue server: a real redis-server in the data directory, one at a time, that outlives a
 * crash of the program that started it and is found again at the next start (design §7).
 * Two servers on one append-only file would destroy it, so the right to start one is a lock that the
 * server itself inherits (`embedded-redis/lock.ts`).
 */
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { FerryError } from '../../shared/errors.js';
import type { Log } from '../../shared/log.js';
import { isFree, tryLock } from './embedded-redis/lock.js';
import { makeQueueDirectory, type QueuePaths, queuePaths } from './embedded-redis/paths.js';
import { ping } from './embedded-redis/ping.js';
import { lastLines, spawnRedis } from './embedded-redis/process.js';
import { ServerWatch } from './embedded-redis/watch.js';

const POLL_MS = 50;
/** How long a server that neither answers nor loads may hold the lock before we give up. */
const SILENT_MS = 15_000;
const SHUTDOWN_MS = 10_000;
/** A server that ran at least this long did not die of its start. */
const HEALTHY_MS = 30_000;
const MAX_BACKOFF_MS = 30_000;

export interface EmbeddedRedis {
  readonly url: string;
  /** True: it was running already. */
  readonly adopted: boolean;
  /** Stops watching it, and ends it when no other imageferry process uses it. Never throws. Safe to repeat. */
  stop(): Promise<void>;
}

/**
 * Starts the server or adopts the one that runs, and keeps one running until `stop`.
 * Takes as long as the server needs to read its append-only file.
 * @param signal  gives up the start
 * @throws FerryError CONFIG_INVALID     the data directory is too long a path or cannot be used
 * @throws FerryError QUEUE_UNAVAILABLE  redis-server is missing, does not start, or does not answer
 * @throws FerryError NATIVE_MODULE      the addon is not built
 */
export async function startEmbeddedRedis(dataDir: string, log: Log, signal?: AbortSignal): Promise<EmbeddedRedis> {
  const paths = queuePaths(dataDir);
  await makeQueueDirectory(paths);
  const keeper = new Keeper(paths, log);
  const adopted = await keeper.start(signal);
  return { url: `unix://${pathToFileURL(paths.socket).pathname}`, adopted, stop: () => keeper.stop() };
}

class Keeper {
  private watch: ServerWatch | undefined;
  private readonly stopping = new AbortController();
  private recovery: Promise<void> = Promise.resolve();
  private upSince = 0;
  private quickDeaths = 0;

  constructor(
    private readonly paths: QueuePaths,
    private readonly log: Log,
  ) {}

  async start(signal?: AbortSignal): Promise<boolean> {
    const outer = signal === undefined ? this.stopping.signal : AbortSignal.any([signal, this.stopping.signal]);
    for (;;) {
      const adopted = await ensureServer(this.paths, this.log, outer);
      try {
        this.watch = await ServerWatch.open(this.paths.socket, () => this.onGone());
      } catch {
        // It went between its answer and our connection: another process was just shutting it down.
        await sleep(POLL_MS, undefined, { signal: outer });
        continue;
      }
      this.upSince = Date.now();
      return adopted;
    }
  }

  private onGone(): void {
    if (this.stopping.signal.aborted) return;
    this.quickDeaths = Date.now() - this.upSince < HEALTHY_MS ? this.quickDeaths + 1 : 0;
    this.recovery = this.recover();
  }

  private async recover(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      const delayMs = this.quickDeaths <= 1 ? 0 : Math.min(MAX_BACKOFF_MS, 250 * 2 ** this.quickDeaths);
      this.log.warn({ delayMs }, 'the embedded queue server is gone; starting it again');
      try {
        await sleep(delayMs, undefined, { signal: this.stopping.signal });
        await this.start();
        return;
      } catch (cause) {
        if (this.stopping.signal.aborted) return;
        this.quickDeaths++;
        this.log.error({ err: cause }, 'the embedded queue server could not be started again');
      }
    }
  }

  async stop(): Promise<void> {
    if (this.stopping.signal.aborted) return;
    this.stopping.abort();
    await this.recovery;
    const watch = this.watch;
    if (watch === undefined) return;
    try {
      const others = await watch.othersWhenLeaving();
      if (others.length > 0) {
        this.log.info({ others }, 'the embedded queue server goes on: others use it');
        return;
      }
      await watch.shutdown();
      await this.untilFree();
      this.log.info('the embedded queue server has stopped');
    } catch (cause) {
      this.log.warn({ err: cause }, 'the embedded queue server was left running');
    } finally {
      watch.close();
    }
  }

  private async untilFree(): Promise<void> {
    const deadline = Date.now() + SHUTDOWN_MS;
    while (!(await isFree(this.paths.lock))) {
      if (Date.now() > deadline) throw new Error(`redis-server did not end within ${SHUTDOWN_MS} ms`);
      await sleep(POLL_MS);
    }
  }
}

/** @returns true: a server ran already; false: we started it. It is ready to answer. */
async function ensureServer(paths: QueuePaths, log: Log, signal: AbortSignal): Promise<boolean> {
  let child: ChildProcess | undefined;
  let silentSince = Date.now();
  let saidLoading = 0;
  for (;;) {
    if (signal.aborted) {
      // Given up while it reads its data: nothing that we started stays behind.
      child?.kill('SIGTERM');
      signal.throwIfAborted();
    }
    const lock = await tryLock(paths.lock);
    if (lock !== null) {
      // The lock is ours: whatever we started before has died of its start.
      if (child !== undefined) {
        await lock.close();
        throw await startFailed(paths);
      }
      try {
        child = await spawnRedis(paths, lock.fd);
        log.info({ serverPid: child.pid, directory: paths.directory }, 'started the embedded queue server');
      } finally {
        await lock.close();
      }
      silentSince = Date.now();
    }
    const state = await ping(paths.socket);
    if (state === 'ready') return child === undefined;
    if (state === 'loading') {
      silentSince = Date.now();
      if (Date.now() - saidLoading > 5000) {
        saidLoading = Date.now();
        log.info({ directory: paths.directory }, 'the embedded queue server reads its data');
      }
    } else if (Date.now() - silentSince > SILENT_MS) {
      throw new FerryError(
        'QUEUE_UNAVAILABLE',
        `A redis-server holds ${paths.lock} but does not answer on ${paths.socket}; see ${paths.log}`,
        { path: paths.socket },
      );
    }
    await sleep(POLL_MS);
  }
}

async function startFailed(paths: QueuePaths): Promise<FerryError> {
  const words = await lastLines(paths.log);
  return new FerryError('QUEUE_UNAVAILABLE', `redis-server ended while it started: ${words} (${paths.log})`, {
    path: paths.log,
  });
}
