/**
 * The jobs: their records in Redis, the truth about each, and their scheduling by BullMQ.
 * Used by the API (create, read, cancel, retry, watch) and by transfer nodes (`NodeJobs`), in one
 * process or in many. A job is recorded first and scheduled second; `reconcile` repairs a crash between.
 * Knows nothing of HTTP or of storage.
 */
import type { Redis } from 'ioredis';
import { v7 as uuidv7 } from 'uuid';
import type { Config } from '../config.js';
import { FerryError } from '../errors.js';
import type { Log } from '../log.js';
import {
  ENDED_STATES,
  type JobError,
  type JobKind,
  type JobPhase,
  type JobRequest,
  type JobState,
  type Progress,
} from '../schemas/job.js';
import { canonicalJson, sha256 } from './canonical.js';
import { closeRedis, createRedis, queueCall } from './connection.js';
import { keys } from './keys.js';
import { countJobs, type JobFilter, type JobPage, listJobs } from './listing.js';
import { Maintenance } from './maintenance.js';
import { persistently } from './patience.js';
import { drainOutbox, MAX_ABANDONED, NODE_LOST, type Reconciler, settle, sweep } from './reconcile.js';
import { decodeRecord, encodeJson, pairsToHash } from './record-codec.js';
import type { JobRecord, NodeJobs, Outcome } from './records.js';
import { defineScripts, type RunScript } from './run-script.js';
import { Scheduler } from './scheduler.js';
import { Watchers } from './watchers.js';

export type JobStoreConfig = Pick<Config, 'pools' | 'jobAttempts' | 'retryDelayMs' | 'keepJobs'>;

export interface JobStoreOptions {
  readonly redisUrl: string;
  readonly config: JobStoreConfig;
  readonly log: Log;
}

export interface CreateOptions {
  /** The same key with the same request gives the same job. */
  readonly idempotencyKey?: string | undefined;
  readonly batch?: string | undefined;
}

export interface CreatedJob {
  readonly id: string;
  readonly kind: JobKind;
  readonly state: JobState;
  /** True: an earlier request with this Idempotency-Key made it. */
  readonly replayed: boolean;
}

const OPEN_TIMEOUT_MS = 10_000;
const TRIM_BATCH = 100;
const IDEMPOTENCY_MIN_MS = 24 * 3600 * 1000;

export class JobStore implements NodeJobs {
  readonly #redis: Redis;
  readonly #subscriber: Redis;
  readonly #config: JobStoreConfig;
  readonly #log: Log;
  readonly #run: RunScript;
  readonly #scheduler: Scheduler;
  readonly #watchers: Watchers;
  readonly #maintenance: Maintenance;
  #closed = false;

  /**
   * Connects, then repairs what a crash left behind.
   * @throws FerryError QUEUE_UNAVAILABLE  Redis did not answer within 10 s
   */
  static async open(options: JobStoreOptions): Promise<JobStore> {
    const store = new JobStore(options);
    try {
      await persistently(() => store.ping(), OPEN_TIMEOUT_MS);
      await Promise.all(options.config.pools.map((pool) => store.#scheduler.queue(pool)));
      await store.reconcile();
    } catch (error) {
      await store.close();
      throw error;
    }
    store.#maintenance.start();
    return store;
  }

  private constructor({ redisUrl, config, log }: JobStoreOptions) {
    this.#config = config;
    this.#log = log.child({ part: 'queue' });
    this.#redis = createRedis(redisUrl, 'command', 'jobs');
    this.#subscriber = createRedis(redisUrl, 'subscriber', 'jobs-watch');
    this.#run = defineScripts(this.#redis);
    this.#scheduler = new Scheduler(this.#redis, config, this.#log);
    this.#watchers = new Watchers(this.#subscriber);
    this.#maintenance = new Maintenance(this.#log, {
      outbox: () => drainOutbox(this.#reconciler()),
      sweep: async () => {
        await sweep(this.#reconciler());
        await this.trim();
      },
    });
    this.#redis.on('error', (err) => this.#log.debug({ err }, 'queue server connection'));
    this.#redis.on('ready', () => {
      this.#log.info('queue server connected');
      this.#redis.once('close', () => {
        if (!this.#closed) this.#log.warn('queue server connection lost');
      });
      // After an outage jobs may have been recorded without being scheduled.
      this.#maintenance.soon();
    });
  }

  /** Ends watches and connections; jobs stay as they are. Safe to repeat. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#maintenance.stop();
    this.#watchers.wakeAll();
    await this.#scheduler.close();
    closeRedis(this.#redis);
    closeRedis(this.#subscriber);
  }

  /** @throws FerryError QUEUE_UNAVAILABLE */
  async ping(): Promise<void> {
    await queueCall(() => this.#redis.ping());
  }

  // --- for the API ---

  /**
   * Records a job and schedules it. When this returns, the job survives any crash of ours.
   * @throws FerryError IDEMPOTENCY_CONFLICT  the key was used with another request
   * @throws FerryError QUEUE_UNAVAILABLE     it may or may not have been recorded: repeat with an Idempotency-Key
   */
  async create(request: JobRequest, options: CreateOptions = {}): Promise<CreatedJob> {
    const id = uuidv7();
    const text = canonicalJson(request);
    const { kind, pool } = request;
    const { priority } = request.options;
    const keyHash = options.idempotencyKey === undefined ? '' : sha256(options.idempotencyKey);
    const batch = options.batch ?? '';
    const created = toCreated(
      await this.#run('create', id, kind, pool, batch, text, priority, keyHash, sha256(text)),
    ) as CreatedJob;
    if (!created.replayed) await this.#schedule(created.id, kind, pool, priority);
    return created;
  }

  /**
   * The job that an earlier request with this key made, so that a repeated request is not checked again.
   * @returns null when the key is new
   * @throws FerryError IDEMPOTENCY_CONFLICT  the key was used with another request
   */
  async findCreated(request: JobRequest, idempotencyKey: string): Promise<CreatedJob | null> {
    return toCreated(await this.#run('replay', sha256(idempotencyKey), sha256(canonicalJson(request))));
  }

  /** @returns null when there is no such job (any more) */
  async get(id: string): Promise<JobRecord | null> {
    return decodeRecord(await queueCall(() => this.#redis.hgetall(keys.job(id))));
  }

  /**
   * One page, newest first. A page may be shorter than `limit` and still have a next one.
   * @throws FerryError BAD_REQUEST  not a cursor of ours
   */
  list(filter: JobFilter, limit: number, cursor?: string): Promise<JobPage> {
    return listJobs(this.#redis, filter, limit, cursor);
  }

  /** Number of jobs by pool and state; one round trip. */
  counts(): Promise<Record<string, Partial<Record<JobState, number>>>> {
    return countJobs(this.#redis);
  }

  /**
   * A waiting job is canceled at once; a running one is asked to stop (`cancelRequested`), its node ends it.
   * @throws FerryError JOB_NOT_FOUND
   * @throws FerryError JOB_STATE_CONFLICT  it has ended
   */
  async cancel(id: string): Promise<JobRecord> {
    const [answer, state] = await this.#run('cancel', id);
    if (answer === 'missing') throw notFound(id);
    if (answer === 'ended') throw new FerryError('JOB_STATE_CONFLICT', `the job is ${state}: it cannot be canceled`);
    const record = await this.#need(id);
    // What follows only tidies: a worker that meets a canceled job drops it, and the sweep finds lost nodes.
    const tidy =
      answer === 'canceled'
        ? this.#scheduler.remove(id, record.request.pool)
        : settle(this.#reconciler(), id).then(() => true);
    await tidy.catch((err) => this.#log.debug({ err, job: id }, 'tidying after cancel'));
    return answer === 'canceled' ? record : await this.#need(id);
  }

  /**
   * Queues a failed or canceled job once more.
   * @throws FerryError JOB_NOT_FOUND
   * @throws FerryError JOB_STATE_CONFLICT  it is neither failed nor canceled
   */
  async retry(id: string): Promise<JobRecord> {
    const [answer, state] = await this.#run('retry', id);
    if (answer === 'missing') throw notFound(id);
    if (answer === 'conflict') {
      throw new FerryError('JOB_STATE_CONFLICT', `the job is ${state}: only a failed or canceled job can be retried`);
    }
    // Not `#schedule`: the earlier run may still be leaving BullMQ, and would swallow an add.
    const settled = await settle(this.#reconciler(), id).catch((err) => {
      this.#log.warn({ err, job: id }, 'a job is recorded but not scheduled yet');
      return false;
    });
    if (!settled) this.#maintenance.soon();
    return this.#need(id);
  }

  // --- for transfer nodes ---

  async start(id: string, node: string): Promise<JobRecord | null> {
    return decodeRecord(pairsToHash(await this.#run('start', id, node, MAX_ABANDONED, encodeJson(NODE_LOST))));
  }

  async report(id: string, attempt: number, phase: JobPhase, progress: Progress | null): Promise<boolean> {
    return (await this.#run('report', id, attempt, phase, encodeJson(progress))) === 1;
  }

  /** Keeps trying for a minute while Redis is away: otherwise the work of the attempt would be lost. */
  async requeue(id: string, attempt: number, error: JobError | null): Promise<boolean> {
    return (await persistently(() => this.#run('requeue', id, attempt, encodeJson(error)))) === 1;
  }

  /** Keeps trying for a minute while Redis is away: otherwise the work of the attempt would be lost. */
  async finish(id: string, attempt: number, outcome: Outcome): Promise<boolean> {
    const result = outcome.state === 'completed' ? encodeJson(outcome.result) : '';
    const error = outcome.state === 'failed' ? encodeJson(outcome.error) : '';
    const owned = await persistently(() => this.#run('finish', id, attempt, outcome.state, result, error));
    this.#maintenance.ended();
    return owned === 1;
  }

  onCancel(id: string, callback: () => void): () => void {
    let done = false;
    const look = () => {
      if (done) return;
      // One field only: this runs after each of the job's own reports, and a record may hold many ranges.
      persistently(() => queueCall(() => this.#redis.hget(keys.job(id), 'cancelRequested'))).then(
        (requested) => {
          if (done || requested !== '1') return;
          stop();
          callback();
        },
        (err) => this.#log.warn({ err, job: id }, 'cannot see whether the job is to be canceled'),
      );
    };
    const unwatch = this.#watchers.add(id, look);
    const stop = () => {
      done = true;
      unwatch();
    };
    look();
    return stop;
  }

  // --- changes ---

  /**
   * Calls back after each change of the job, and now and then without one; several changes may be one call.
   * When the promise resolves, no later change is missed: read the record then.
   * @throws FerryError QUEUE_UNAVAILABLE
   */
  watch(id: string, callback: () => void): Promise<() => void> {
    return this.#watchers.watch(id, callback);
  }

  /**
   * Waits until the record is newer than `since`, has ended, or the time is over; then answers the record as it is.
   * @param since   a `version`; 'current': that of now
   * @param signal  ends the wait early, with the record as it is
   * @returns null when there is no such job (any more)
   * @throws FerryError QUEUE_UNAVAILABLE
   */
  async waitForChange(
    id: string,
    since: number | 'current',
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<JobRecord | null> {
    let record = await this.get(id);
    if (record === null) return null;
    const version = since === 'current' ? record.version : since;
    const isOver = () => record === null || record.version > version || ENDED_STATES.includes(record.state);
    if (isOver() || timeoutMs <= 0) return record;

    let wake = () => {};
    let next = new Promise<void>((resolve) => (wake = resolve));
    let over = false;
    const giveUp = () => {
      over = true;
      wake();
    };
    const timer = setTimeout(giveUp, timeoutMs);
    signal?.addEventListener('abort', giveUp);
    let unwatch = () => {};
    try {
      unwatch = await this.watch(id, () => wake());
      for (;;) {
        // Armed before the read: a change during the read ends the wait that follows.
        next = new Promise<void>((resolve) => (wake = resolve));
        record = await this.get(id);
        if (isOver() || over || this.#closed || signal?.aborted) return record;
        await next;
        if (over || this.#closed) return await this.get(id).catch(() => record);
      }
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', giveUp);
      unwatch();
    }
  }

  /** Number of jobs that somebody in this process watches. */
  get watched(): number {
    return this.#watchers.size;
  }

  // --- upkeep ---

  /** Schedules recorded jobs that BullMQ lacks. Runs by itself at open and regularly; safe to repeat and in parallel. */
  async reconcile(): Promise<void> {
    if ((await drainOutbox(this.#reconciler())) > 0) this.#maintenance.soon();
    await sweep(this.#reconciler());
  }

  /** Removes ended jobs beyond what is to be kept. Runs by itself. @returns number of jobs removed */
  async trim(): Promise<number> {
    const { seconds, count } = this.#config.keepJobs;
    let removed = 0;
    for (;;) {
      const batch = await this.#run('trim', seconds, count, TRIM_BATCH, IDEMPOTENCY_MIN_MS);
      if (batch === 0) return removed;
      removed += batch;
    }
  }

  async #schedule(id: string, kind: JobKind, pool: string, priority: number): Promise<void> {
    try {
      await this.#scheduler.add(id, kind, pool, priority);
      await queueCall(() => this.#redis.zrem(keys.outbox, id));
    } catch (err) {
      // The record and its outbox entry are safe: the job runs when Redis is back.
      this.#log.warn({ err, job: id }, 'a job is recorded but not scheduled yet');
      this.#maintenance.soon();
    }
  }

  async #need(id: string): Promise<JobRecord> {
    const record = await this.get(id);
    if (record === null) throw notFound(id);
    return record;
  }

  #reconciler(): Reconciler {
    return {
      redis: this.#redis,
      scheduler: this.#scheduler,
      run: this.#run,
      log: this.#log,
    };
  }
}

function notFound(id: string): FerryError {
  return new FerryError('JOB_NOT_FOUND', `there is no job ${id}`);
}

function toCreated([answer, id, kind, state]: readonly string[]): CreatedJob | null {
  if (answer === 'unknown') return null;
  if (answer === 'conflict') {
    throw new FerryError('IDEMPOTENCY_CONFLICT', `the Idempotency-Key was used with another body, for job ${id}`);
  }
  return { id: id as string, kind: kind as JobKind, state: state as JobState, replayed: answer === 'replayed' };
}
