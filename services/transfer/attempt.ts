/**
 * One attempt at one job: claims it, runs it, reports while it runs (which renews its lease), and decides what its
 * end means: completed, failed, canceled, paused, or back to the queue. The record in Redis is the truth; BullMQ is
 * told by returning (it is over), or by throwing (try again later).
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Job } from 'bullmq';
import type { TokenBucket } from 'limiter';
import type { Config } from '../../shared/config.js';
import { asFerryError, type FerryError } from '../../shared/errors.js';
import type { Log } from '../../shared/log.js';
import { DelayedError, UnrecoverableError, WaitingError } from '../../shared/queue/bullmq.js';
import { atMost, within } from '../../shared/queue/patience.js';
import type { JobRecord, NodeJobs, Outcome } from '../../shared/queue/records.js';
import {
  type FinalizeRequest,
  isClientUpload,
  type JobError,
  type JobResult,
  type StoredUpload,
} from '../../shared/schemas/job.js';
import { ControlBlock } from '../../workers/control.js';
import type { Workers } from '../../workers/pool.js';
import type { ClientSide, DataPlane } from './data-plane.js';
import type { StopReason } from './job.js';
import { runLend } from './lend.js';
import type { JobMetrics } from './metrics.js';
import { LeaseOwner } from './owner.js';
import { JobProgress } from './progress.js';
import { runReceive } from './receive.js';
import { Tally } from './tally.js';
import { Throttle } from './throttle.js';
import { runUpload } from './upload.js';
import { runZero } from './zero.js';

/** How often a running job is reported; a poll cannot see anything newer. */
const REPORT_MS = 500;
/** Of a lease this part passes between two renewals, where that is sooner. */
const RENEWALS = 5;
/** Between tries to record an end while Redis is away. */
const RECORD_RETRY_MS = 500;
/** Between tries at a target that the job's own earlier attempt may still hold. */
const BUSY_RETRY_MS = 2000;
/** Before a job is tried again that needed Redis while it was away. */
const QUEUE_RETRY_MS = 1000;
/** What a node that must go gives Redis. */
const CLOSING_PATIENCE_MS = 3000;

export interface AttemptContext {
  readonly workers: Workers;
  readonly jobs: NodeJobs;
  readonly config: Pick<
    Config,
    'storageRoots' | 'nbdHosts' | 'flushIntervalMs' | 'nodeName' | 'leaseMs' | 'clientTimeoutSeconds'
  >;
  readonly log: Log;
  readonly metrics: JobMetrics;
  /** Serves clients of jobs. */
  readonly plane: DataPlane;
  /** Limits all jobs of this node together. */
  readonly bucket: TokenBucket;
  /** Whether a job that was started before may go on waiting for a busy target. */
  readonly mayWait: (record: JobRecord) => boolean;
}

export class Attempt {
  readonly #progress = new JobProgress(new ControlBlock());
  readonly #tally = new Tally(this.#progress);
  readonly #throttle: Throttle;
  #stopReason: StopReason | null = null;
  #bytesPerSecond = 0;
  #pool: string | null = null;
  #said: FinalizeRequest | null = null;
  /** What the client said to an earlier attempt does not count any more. */
  #forgotten = false;
  /** The node must go, whatever the first reason to stop was: nothing waits for Redis any more. */
  #closing = false;
  /** Set when the attempt ended, whatever the end was. */
  readonly ended: Promise<void>;
  #markEnded!: () => void;

  constructor(
    private readonly context: AttemptContext,
    private readonly job: Job,
    private readonly token: string | undefined,
  ) {
    this.#throttle = new Throttle(context.bucket);
    this.ended = new Promise((resolve) => {
      this.#markEnded = resolve;
    });
  }

  /** Bytes a second, as the job reported them last. */
  get bytesPerSecond(): number {
    return this.#bytesPerSecond;
  }

  /** Of the job; null before it is known. */
  get pool(): string | null {
    return this.#pool;
  }

  /** Asks the running steps to end; the first reason counts. */
  stop(reason: StopReason): void {
    this.#stopReason ??= reason;
    if (reason === 'shutdown') this.#closing = true;
    this.#progress.control.stop();
  }

  /** @throws WaitingError, UnrecoverableError, Error: what BullMQ understands */
  async run(): Promise<void> {
    try {
      const { jobs, config, log, metrics } = this.context;
      // Taken off the queue while the node was already closing: give it back unclaimed.
      if (this.#closing) return await this.#giveBack();
      const asked = process.hrtime.bigint();
      const record = await jobs.start(this.job.id as string, config.nodeName).catch((thrown: unknown) => {
        if (asFerryError(thrown).code === 'QUEUE_UNAVAILABLE') return QUEUE_RETRY_MS;
        throw thrown;
      });
      if (record === null) return;
      if (typeof record === 'number') return await this.#comeBack(record);
      const { id, batch, kind, attempt, lostNode } = record;
      const { pool } = record.request;
      this.#pool = pool;
      const jobLog = log.child({ job: id, ...(batch === null ? {} : { batch: batch.id }), kind, pool, attempt });
      if (lostNode === null) jobLog.info({ state: 'active' }, 'started');
      else jobLog.info({ state: 'active', from: lostNode }, 'taken over');
      metrics.started(pool, lostNode !== null);
      const onCheckpoint = () => metrics.checkpoint(pool);
      const owner = new LeaseOwner(record, jobs, this.#progress.control, config.leaseMs, jobLog, onCheckpoint);
      owner.granted(asked);
      await this.#runRecord(record, owner, jobLog);
    } finally {
      this.#markEnded();
    }
  }

  async #runRecord(record: JobRecord, owner: LeaseOwner, log: Log): Promise<void> {
    this.#throttle.limit(record.bandwidthBytesPerSecond);
    this.#said = record.finalize;
    const unsubscribe = this.context.jobs.onWishes(
      record.id,
      ({ cancel, pause, bandwidthBytesPerSecond, finalize, finalizedIn }) => {
        if (cancel) this.stop('cancel');
        else if (pause) this.stop('pause');
        this.#throttle.limit(bandwidthBytesPerSecond);
        // What is heard may have been read before it was forgotten, and all that is to come would be taken for zeroes.
        if (!this.#forgotten || finalizedIn === record.attempt) this.#said = finalize;
      },
    );
    const reporting = new AbortController();
    const reports = this.#reportUntil(record, owner, reporting.signal, log);
    let outcome: { readonly result: JobResult } | { readonly error: FerryError };
    try {
      outcome = { result: await this.#transfer(record, owner, log) };
    } catch (thrown) {
      outcome = { error: asFerryError(thrown) };
    } finally {
      reporting.abort();
      unsubscribe();
      await reports;
      // No task runs any more: nothing comes after this.
      this.#count(record);
    }
    if ('result' in outcome) await this.#finish(record, { state: 'completed', result: outcome.result }, log);
    else await this.#settleError(record, outcome.error, log);
  }

  async #transfer(record: JobRecord, owner: LeaseOwner, log: Log): Promise<JobResult> {
    const { workers, config } = this.context;
    const { request, attempt, checkpoint } = record;
    const run = {
      workers,
      config,
      progress: this.#progress,
      log,
      attempt,
      owner,
      throttle: this.#throttle,
      checkpoint,
      client: this.#client(record, owner),
      stopping: () => this.#stopReason,
    };
    if (request.kind === 'zero') return await runZero(run, request);
    if (request.kind === 'download') return await runLend(run, request);
    return isClientUpload(request) ? await runReceive(run, request) : await runUpload(run, request as StoredUpload);
  }

  #client({ id }: JobRecord, owner: LeaseOwner): ClientSide {
    const { plane, config } = this.context;
    return {
      job: id,
      plane,
      timeoutMs: config.clientTimeoutSeconds * 1000,
      said: () => this.#said,
      forget: async () => {
        this.#forgotten = true;
        this.#said = null;
        await owner.unfinalize();
      },
    };
  }

  #count(record: JobRecord): void {
    this.context.metrics.moved(record.request.pool, this.#tally.take());
  }

  async #reportUntil(record: JobRecord, owner: LeaseOwner, ended: AbortSignal, log: Log): Promise<void> {
    const everyMs = Math.min(REPORT_MS, this.context.config.leaseMs / RENEWALS);
    while (!ended.aborted) {
      await sleep(everyMs, undefined, { signal: ended }).catch(() => {});
      if (ended.aborted) return;
      this.#count(record);
      try {
        const progress = this.#progress.sample();
        this.#bytesPerSecond = progress?.bytesPerSecond ?? 0;
        if (!(await owner.renew(this.#progress.phase, progress))) this.stop('lost');
      } catch (thrown) {
        // Redis is away: the copy goes on while the lease lasts, and the record is brought up to date when it is back.
        log.warn({ err: thrown }, 'progress could not be reported');
      }
    }
  }

  async #report(record: JobRecord): Promise<boolean> {
    return await this.context.jobs.report(record.id, record.attempt, this.#progress.phase, this.#progress.sample());
  }

  async #settleError(record: JobRecord, error: FerryError, log: Log): Promise<void> {
    const { metrics, jobs } = this.context;
    const { pool } = record.request;
    const stopped = error.code === 'CANCELED' ? this.#stopReason : null;
    if (stopped === 'lost') {
      metrics.leaseLost(pool);
      log.warn({ reason: 'another attempt owns the job; this one stopped writing' }, 'lease lost');
      return;
    }
    if (stopped === 'cancel') {
      await this.#finish(record, { state: 'canceled' }, log);
      return;
    }
    const wire = toJobError(error);
    if (stopped === 'pause') {
      if (!(await this.#record(log, () => jobs.suspend(record.id, record.attempt)))) return this.#disowned(record, log);
      metrics.ended(pool, 'paused');
      log.info({ state: 'paused' }, 'paused');
      return;
    }
    // A lease that ran out is nobody's fault: Redis was away, or this process was not given any time.
    if (error.code === 'LEASE_LOST') {
      metrics.leaseLost(pool);
      log.warn({ reason: 'it ran out; nothing more is written' }, 'lease lost');
    }
    if (stopped === 'shutdown' || error.code === 'INTERRUPTED' || error.code === 'LEASE_LOST') {
      await this.#requeue(record, null, log);
      return await this.#giveBack();
    }
    metrics.error(pool, error.code);
    if (error.code === 'TARGET_BUSY' && this.context.mayWait(record)) {
      // An earlier attempt may still hold it.
      await this.#requeue(record, wire, log);
      return await this.#comeBack(BUSY_RETRY_MS);
    }
    if (error.code === 'QUEUE_UNAVAILABLE') {
      // That Redis was away is no fault of the job either, however often.
      await this.#requeue(record, wire, log);
      return await this.#comeBack(QUEUE_RETRY_MS);
    }
    if (error.retry && this.job.attemptsMade + 1 < (this.job.opts.attempts ?? 1)) {
      await this.#requeue(record, wire, log);
      throw new Error(`${error.code}: ${error.message}`);
    }
    const cause = error.code === 'INTERNAL' ? { err: error } : {};
    await this.#finish(record, { state: 'failed', error: wire }, log, cause);
    throw new UnrecoverableError(`${error.code}: ${error.message}`);
  }

  /** @param more  for the log */
  async #finish(record: JobRecord, outcome: Outcome, log: Log, more: object = {}): Promise<void> {
    // How far it came, also when it failed: the last sample may be half a second old.
    await this.#record(log, () => this.#report(record));
    const recorded = await this.#record(log, () => this.context.jobs.finish(record.id, record.attempt, outcome));
    if (!recorded) return this.#disowned(record, log);
    const { state } = outcome;
    this.context.metrics.ended(record.request.pool, state);
    if (outcome.state === 'failed') log.error({ state, error: outcome.error, ...more }, state);
    else if (outcome.state === 'canceled') log.info({ state }, state);
    else {
      const { durationMs, copiedBytes } = outcome.result;
      log.info({ state, durationMs, copiedBytes }, state);
    }
  }

  /** What this attempt came to is of no interest: the job is another one's. */
  #disowned(record: JobRecord, log: Log): void {
    this.context.metrics.leaseLost(record.request.pool);
    log.warn({ reason: 'another attempt owns the job; this one had ended' }, 'lease lost');
  }

  async #requeue(record: JobRecord, error: JobError | null, log: Log): Promise<void> {
    const owned = await this.#record(log, () => this.context.jobs.requeue(record.id, record.attempt, error));
    if (!owned) log.warn('another attempt owns the job now');
    else if (error === null) log.info({ state: 'queued' }, 'queued again');
    else log.warn({ state: 'queued', error }, 'queued again');
  }

  /** To BullMQ: again in so many ms. Without Redis its lock runs out instead, as in `#giveBack`. */
  async #comeBack(ms: number): Promise<never> {
    await atMost(CLOSING_PATIENCE_MS, this.job.moveToDelayed(Date.now() + ms, this.token));
    throw new DelayedError();
  }

  /** Without Redis nothing can be given back: the job's lock runs out then, and it is taken over like that. */
  async #giveBack(): Promise<never> {
    await atMost(CLOSING_PATIENCE_MS, this.job.moveToWait(this.token));
    throw new WaitingError();
  }

  /** An end that is not recorded would be run again: try until Redis is back or the node must go. */
  async #record(log: Log, write: () => Promise<boolean>): Promise<boolean> {
    for (;;) {
      const written = write();
      try {
        return this.#closing ? await within(CLOSING_PATIENCE_MS, written) : await written;
      } catch (thrown) {
        if (this.#closing || asFerryError(thrown).code !== 'QUEUE_UNAVAILABLE') throw thrown;
        log.warn({ err: thrown }, 'the end of the job cannot be recorded yet');
        await sleep(RECORD_RETRY_MS);
      }
    }
  }
}

function toJobError(error: FerryError): JobError {
  const { errno, syscall, path } = error.details;
  return {
    code: error.code,
    message: error.message,
    ...(errno === undefined ? {} : { errno }),
    ...(syscall === undefined ? {} : { syscall }),
    ...(path === undefined ? {} : { path }),
  };
}
