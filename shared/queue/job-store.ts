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
  type ClientOffer,
  type FinalizeRequest,
  hasClient,
  type JobError,
  type JobKind,
  type JobPatch,
  type JobPhase,
  type JobRequest,
  type JobState,
  type Progress,
} from '../schemas/job.js';
import type { NodeReport, NodeView } from '../schemas/node.js';
import { ENDED_STATES } from '../states.js';
import { storageName } from '../storage-name.js';
import type { Batches } from './batch-records.js';
import { BatchStore } from './batch-store.js';
import { canonicalJson, sha256 } from './canonical.js';
import type { Checkpoint } from './checkpoint.js';
import { closeRedis, createRedis, queueCall } from './connection.js';
import { type PoolDepth, queueDepth } from './depth.js';
import { keys } from './keys.js';
import { countJobs, type JobFilter, type JobPage, listJobs } from './listing.js';
import { Maintenance } from './maintenance.js';
import { listNodes } from './nodes.js';
import { persistently } from './patience.js';
import { drainOutbox, MAX_ABANDONED, NODE_LOST, type Reconciler, settle, sweep } from './reconcile.js';
import { decodeBandwidth, decodeRecord, encodeJson, pairsToHash } from './record-codec.js';
import type { Hold, JobRecord, NodeJobs, Outcome, Wishes } from './records.js';
import { defineScripts, type RunScript } from './run-script.js';
import { Scheduler } from './scheduler.js';
import { waitForVersion } from './wait.js';
import { Watchers } from './watchers.js';

export type JobStoreConfig = Pick<
  Config,
  'pools' | 'jobAttempts' | 'retryDelayMs' | 'keepJobs' | 'leaseMs' | 'poolConcurrency'
>;

export interface JobStoreOptions {
  readonly redisUrl: string;
  readonly config: JobStoreConfig;
  readonly log: Log;
}

export interface CreateOptions {
  /** The same key with the same request gives the same job. */
  readonly idempotencyKey?: string | undefined;
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
  /** Many jobs that belong together. */
  readonly batches: Batches;
  /** Jobs that BullMQ has by now, which the outbox still names. */
  readonly #scheduled: string[] = [];
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
    this.batches = new BatchStore({
      redis: this.#redis,
      run: this.#run,
      watchers: this.#watchers,
      closed: () => this.#closed,
      schedule: () => this.#maintenance.now(),
      unschedule: (id, pool) => this.#unschedule(id, pool),
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
    const bandwidth = 'bandwidthBytesPerSecond' in request.options ? request.options.bandwidthBytesPerSecond : null;
    const keyHash = options.idempotencyKey === undefined ? '' : sha256(options.idempotencyKey);
    const created = toCreated(
      await this.#run(
        'create',
        id,
        kind,
        pool,
        text,
        priority,
        bandwidth ?? 0,
        request.kind === 'download' ? '' : storageName(request.target),
        keyHash,
        sha256(text),
      ),
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

  /** Jobs by pool, state and what they wait for: of the pools of the configuration, and of others that have jobs. */
  depth(): Promise<ReadonlyMap<string, PoolDepth>> {
    return queueDepth(this.#redis, this.#scheduler, this.#config.pools);
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
        ? this.#unschedule(id, record.request.pool)
        : settle(this.#reconciler(), id).then(() => true);
    await tidy.catch((err) => this.#log.debug({ err, job: id }, 'tidying after cancel'));
    this.#maintenance.now();
    return answer === 'canceled' ? record : await this.#need(id);
  }

  /**
   * A waiting job waits on until it is resumed; a running one is asked to stop, and keeps what it made durable.
   * Safe to repeat.
   * @throws FerryError JOB_NOT_FOUND
   * @throws FerryError JOB_STATE_CONFLICT  it has ended
   */
  async pause(id: string): Promise<JobRecord> {
    const [answer, state] = await this.#run('pause', id);
    if (answer === 'missing') throw notFound(id);
    if (answer === 'ended') throw new FerryError('JOB_STATE_CONFLICT', `the job is ${state}: it cannot be paused`);
    const record = await this.#need(id);
    if (answer === 'paused') await this.#unschedule(id, record.request.pool);
    this.#maintenance.now();
    return record;
  }

  /**
   * A paused job goes on when its turn comes.
   * @throws FerryError JOB_NOT_FOUND
   * @throws FerryError JOB_STATE_CONFLICT  it is neither paused nor about to be
   */
  async resume(id: string): Promise<JobRecord> {
    const [answer, state] = await this.#run('resume', id);
    if (answer === 'missing') throw notFound(id);
    if (answer === 'conflict') throw new FerryError('JOB_STATE_CONFLICT', `the job is ${state}, not paused`);
    this.#maintenance.now();
    return this.#need(id);
  }

  /**
   * Changes a job that has not ended; a running one hears of a new bandwidth at once.
   * @throws FerryError JOB_NOT_FOUND
   * @throws FerryError JOB_STATE_CONFLICT  it has ended
   * @throws FerryError NOT_SUPPORTED       a bandwidth for a job with a client
   */
  async patch(id: string, { priority, bandwidthBytesPerSecond: bandwidth }: JobPatch): Promise<JobRecord> {
    if (bandwidth !== undefined && hasClient((await this.#need(id)).request)) {
      const field = 'bandwidthBytesPerSecond';
      throw new FerryError('NOT_SUPPORTED', `${field}: the client of the job decides how fast it sends or reads`, {
        field,
      });
    }
    const [answer, state] = await this.#run(
      'patch',
      id,
      priority ?? '',
      bandwidth === undefined ? '' : (bandwidth ?? 0),
    );
    if (answer === 'missing') throw notFound(id);
    if (answer === 'ended') throw new FerryError('JOB_STATE_CONFLICT', `the job is ${state}: it cannot be changed`);
    const record = await this.#need(id);
    if (priority !== undefined) await this.#scheduler.changePriority(id, record.request.pool, priority);
    return record;
  }

  /**
   * The client of a job has sent or read all. Safe to repeat.
   * @throws FerryError JOB_NOT_FOUND
   * @throws FerryError JOB_STATE_CONFLICT  it does not run, has no client, or was told another checksum before
   * @throws FerryError NOT_SUPPORTED       a checksum for a download
   */
  async finalize(id: string, said: FinalizeRequest): Promise<JobRecord> {
    const { request } = await this.#need(id);
    if (!hasClient(request)) {
      throw new FerryError('JOB_STATE_CONFLICT', 'the job has no client: it completes by itself');
    }
    if (request.kind === 'download' && said.checksum !== undefined) {
      const message =
        'checksum: what the client of a download has read is not known here; ask for the checksum instead';
      throw new FerryError('NOT_SUPPORTED', message, { field: 'checksum' });
    }
    const [answer, state] = await this.#run('finalize', id, canonicalJson(said));
    if (answer === 'missing') throw notFound(id);
    if (answer === 'other') {
      throw new FerryError('JOB_STATE_CONFLICT', 'the job was finalized before, with another checksum or without one');
    }
    if (answer === 'conflict')
      throw new FerryError('JOB_STATE_CONFLICT', `the job is ${state}: it cannot be finalized`);
    return await this.#need(id);
  }

  /** Every node that was heard of within a day. */
  async nodes(): Promise<NodeView[]> {
    return await listNodes(this.#run, this.#config.leaseMs);
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

  async start(id: string, node: string): Promise<JobRecord | null | number> {
    const error = encodeJson(NODE_LOST);
    const answer = await this.#run('start', id, node, MAX_ABANDONED, error, this.#config.leaseMs);
    if (answer.length > 3) return decodeRecord(pairsToHash(answer));
    if (answer.length === 1) return Number(answer[0]);
    const [job, batch, state] = answer;
    if (state !== undefined) {
      const ids = { job, ...(batch ? { batch } : {}) };
      if (state === 'failed') this.#log.error({ ...ids, state, error: NODE_LOST }, state);
      else this.#log.info({ ...ids, state }, state);
    }
    // It may have ended instead, and made room in its batch.
    this.#maintenance.now();
    return null;
  }

  async report(id: string, attempt: number, phase: JobPhase, progress: Progress | null): Promise<boolean> {
    return (await this.#run('report', id, attempt, phase, encodeJson(progress), this.#config.leaseMs)) === 1;
  }

  async owns(id: string, attempt: number): Promise<boolean> {
    const [state, current] = await queueCall(() => this.#redis.hmget(keys.job(id), 'state', 'attempt'));
    return state === 'active' && Number(current) === attempt;
  }

  async hold(id: string, attempt: number, target: string): Promise<Hold> {
    const [answer, other] = await this.#run('hold', id, attempt, target);
    if (answer === 'busy') return { answer, holder: other as string };
    return answer === 'held' ? { answer, previous: other || null } : { answer: 'lost' };
  }

  async checkpoint(id: string, attempt: number, checkpoint: Checkpoint | null, progress: boolean): Promise<boolean> {
    return (await this.#run('checkpoint', id, attempt, encodeJson(checkpoint), progress ? '1' : '0')) === 1;
  }

  async offer(id: string, attempt: number, offer: ClientOffer): Promise<boolean> {
    return (await this.#run('offer', id, attempt, JSON.stringify(offer))) === 1;
  }

  async unfinalize(id: string, attempt: number): Promise<boolean> {
    return (await this.#run('unfinalize', id, attempt)) === 1;
  }

  /** Keeps trying for a minute while Redis is away: the job would wait for its lease to run out otherwise. */
  async suspend(id: string, attempt: number): Promise<boolean> {
    const owned = await persistently(() => this.#run('suspend', id, attempt));
    this.#maintenance.now();
    return owned === 1;
  }

  /** Tells that a node is there, and how it is. @returns instance that had its name before; null: none */
  async beat(report: NodeReport): Promise<string | null> {
    return (await this.#run('beat', report.name, report.instance, JSON.stringify(report))) || null;
  }

  /** Keeps trying for a minute while Redis is away: otherwise the work of the attempt would be lost. */
  async requeue(id: string, attempt: number, error: JobError | null): Promise<boolean> {
    const owned = await persistently(() => this.#run('requeue', id, attempt, encodeJson(error)));
    this.#maintenance.now();
    return owned === 1;
  }

  /** Keeps trying for a minute while Redis is away: otherwise the work of the attempt would be lost. */
  async finish(id: string, attempt: number, outcome: Outcome): Promise<boolean> {
    const result = outcome.state === 'completed' ? encodeJson(outcome.result) : '';
    const error = outcome.state === 'failed' ? encodeJson(outcome.error) : '';
    const owned = await persistently(() => this.#run('finish', id, attempt, outcome.state, result, error));
    this.#maintenance.ended();
    // Its place in its batch has gone to another.
    this.#maintenance.now();
    return owned === 1;
  }

  onWishes(id: string, callback: (wishes: Wishes) => void): () => void {
    let done = false;
    const look = () => {
      if (done) return;
      // A few fields only: this runs after each of the job's own reports, and a record may hold many ranges.
      const fields = () =>
        this.#redis.hmget(keys.job(id), 'cancelRequested', 'pauseRequested', 'bandwidth', 'finalize', 'finalizedIn');
      persistently(() => queueCall(fields)).then(
        ([cancel, pause, bandwidth, finalize, finalizedIn]) => {
          if (done) return;
          callback({
            cancel: cancel === '1',
            pause: pause === '1',
            bandwidthBytesPerSecond: decodeBandwidth(bandwidth),
            finalize: finalize ? (JSON.parse(finalize) as FinalizeRequest) : null,
            finalizedIn: Number(finalizedIn ?? 0),
          });
        },
        (err) => this.#log.warn({ err, job: id }, 'cannot see what is wanted of the job'),
      );
    };
    const unwatch = this.#watchers.add(id, look);
    look();
    return () => {
      done = true;
      unwatch();
    };
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
    return await waitForVersion({
      read: () => this.get(id),
      isOver: (record) => ENDED_STATES.includes(record.state),
      watch: (callback) => this.watch(id, callback),
      since,
      timeoutMs,
      signal,
      closed: () => this.#closed,
    });
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
      if (batch === 0) break;
      removed += batch;
    }
    for (;;) {
      const disks = await this.#run('trimBatch', seconds, count, IDEMPOTENCY_MIN_MS);
      if (disks === 0) return removed;
      removed += disks;
    }
  }

  /** What only tidies: a worker that meets a job that is not to run drops it. */
  async #unschedule(id: string, pool: string): Promise<boolean> {
    return await this.#scheduler.remove(id, pool).catch((err) => {
      this.#log.debug({ err, job: id }, 'an entry could not be removed');
      return false;
    });
  }

  async #schedule(id: string, kind: JobKind, pool: string, priority: number): Promise<void> {
    try {
      await this.#scheduler.add(id, kind, pool, priority);
    } catch (err) {
      // The record and its outbox entry are safe: the job runs when Redis is back.
      this.#log.warn({ err, job: id }, 'a job is recorded but not scheduled yet');
      this.#maintenance.soon();
      return;
    }
    if (this.#scheduled.push(id) === 1) setImmediate(() => this.#leaveOutbox());
  }

  /**
   * Nobody waits for it: what stays in the outbox is only looked at once more. Many at once leave together. A job that ended and
   * was tried again within these milliseconds leaves it as well; should BullMQ not have it, the sweep finds it.
   */
  #leaveOutbox(): void {
    const ids = this.#scheduled.splice(0);
    this.#redis.zrem(keys.outbox, ...ids).catch((err) => this.#log.debug({ err, jobs: ids }, 'the outbox keeps jobs'));
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
