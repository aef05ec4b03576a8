/**
 * One attempt at one job: claims it, runs it, reports while it runs, and decides what its end means:
 * completed, failed, canceled, or back to the queue. The record in Redis is the truth; BullMQ is told by
 * returning (it is over), or by throwing (try again later).
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { DelayedError, type Job, UnrecoverableError, WaitingError } from 'bullmq';
import type { Config } from '../../shared/config.js';
import { asFerryError, FerryError } from '../../shared/errors.js';
import type { Log } from '../../shared/log.js';
import { atMost } from '../../shared/queue/patience.js';
import type { JobRecord, NodeJobs, Outcome } from '../../shared/queue/records.js';
import type { JobError, JobResult } from '../../shared/schemas/job.js';
import { ControlBlock } from '../../workers/control.js';
import type { Workers } from '../../workers/pool.js';
import { JobProgress } from './progress.js';
import { runUpload } from './upload.js';
import { runZero } from './zero.js';

/** How often a running job is reported; a poll cannot see anything newer. */
const REPORT_MS = 500;
/** Between tries to record an end while Redis is away. */
const RECORD_RETRY_MS = 500;
/** Between tries at a target that the job's own earlier attempt may still hold. */
const BUSY_RETRY_MS = 2000;
/** What a node that must go gives Redis. */
const CLOSING_PATIENCE_MS = 3000;

export type StopReason = 'cancel' | 'shutdown' | 'lost';

export interface AttemptContext {
  readonly workers: Workers;
  readonly jobs: NodeJobs;
  readonly config: Pick<Config, 'storageRoots' | 'flushIntervalMs' | 'nodeName'>;
  readonly log: Log;
  /** Whether a job that was started before may go on waiting for a busy target. */
  readonly mayWait: (record: JobRecord) => boolean;
}

export class Attempt {
  readonly #progress = new JobProgress(new ControlBlock());
  #stopReason: StopReason | null = null;
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
    this.ended = new Promise((resolve) => {
      this.#markEnded = resolve;
    });
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
      const { jobs, config, log } = this.context;
      // Taken off the queue while the node was already closing: give it back unclaimed.
      if (this.#closing) return await this.#giveBack();
      const record = await jobs.start(this.job.id as string, config.nodeName);
      if (record === null) return;
      const jobLog = log.child({ job: record.id, kind: record.kind, attempt: record.attempt });
      jobLog.info('started');
      await this.#runRecord(record, jobLog);
    } finally {
      this.#markEnded();
    }
  }

  async #runRecord(record: JobRecord, log: Log): Promise<void> {
    const { jobs } = this.context;
    const unsubscribe = jobs.onCancel(record.id, () => this.stop('cancel'));
    const reporting = new AbortController();
    const reports = this.#reportUntil(record, reporting.signal, log);
    let outcome: { readonly result: JobResult } | { readonly error: FerryError };
    try {
      outcome = { result: await this.#transfer(record, log) };
    } catch (thrown) {
      outcome = { error: asFerryError(thrown) };
    } finally {
      reporting.abort();
      unsubscribe();
      await reports;
    }
    if ('result' in outcome) await this.#finish(record, { state: 'completed', result: outcome.result }, log);
    else await this.#settleError(record, outcome.error, log);
  }

  async #transfer(record: JobRecord, log: Log): Promise<JobResult> {
    const { workers, config } = this.context;
    const { request, attempt } = record;
    const run = { workers, config, progress: this.#progress, log, attempt };
    return request.kind === 'upload' ? await runUpload(run, request) : await runZero(run, request);
  }

  async #reportUntil(record: JobRecord, ended: AbortSignal, log: Log): Promise<void> {
    while (!ended.aborted) {
      await sleep(REPORT_MS, undefined, { signal: ended }).catch(() => {});
      if (ended.aborted) return;
      try {
        const owned = await this.#report(record);
        if (!owned) this.stop('lost');
      } catch (thrown) {
        // Redis is away: the copy goes on, and the record is brought up to date when it is back.
        log.warn({ err: thrown }, 'progress could not be reported');
      }
    }
  }

  async #report(record: JobRecord): Promise<boolean> {
    return await this.context.jobs.report(record.id, record.attempt, this.#progress.phase, this.#progress.sample());
  }

  async #settleError(record: JobRecord, error: FerryError, log: Log): Promise<void> {
    const stopped = error.code === 'CANCELED' ? this.#stopReason : null;
    if (stopped === 'lost') {
      log.warn('another attempt owns this job now; this one stopped writing');
      return;
    }
    if (stopped === 'cancel') {
      await this.#finish(record, { state: 'canceled' }, log);
      return;
    }
    const wire = toJobError(error);
    if (stopped === 'shutdown' || error.code === 'INTERRUPTED') {
      await this.#requeue(record, null, log);
      return await this.#giveBack();
    }
    if (error.code === 'TARGET_BUSY' && this.context.mayWait(record)) {
      log.info({ error: wire }, 'waits for its target, which an earlier attempt may still hold');
      await this.#requeue(record, wire, log);
      await this.job.moveToDelayed(Date.now() + BUSY_RETRY_MS, this.token);
      throw new DelayedError();
    }
    if (error.retry && this.job.attemptsMade + 1 < (this.job.opts.attempts ?? 1)) {
      log.warn({ error: wire }, 'failed for now; it is tried again');
      await this.#requeue(record, wire, log);
      throw new Error(`${error.code}: ${error.message}`);
    }
    log.error({ error: wire, err: error.code === 'INTERNAL' ? error : undefined }, 'failed');
    await this.#finish(record, { state: 'failed', error: wire }, log);
    throw new UnrecoverableError(`${error.code}: ${error.message}`);
  }

  async #finish(record: JobRecord, outcome: Outcome, log: Log): Promise<void> {
    // How far it came, also when it failed: the last sample may be half a second old.
    await this.#record(log, () => this.#report(record));
    const recorded = await this.#record(log, () => this.context.jobs.finish(record.id, record.attempt, outcome));
    if (recorded) log.info({ state: outcome.state }, outcome.state);
    else log.warn({ state: outcome.state }, 'ended, but another attempt owns the job now');
  }

  async #requeue(record: JobRecord, error: JobError | null, log: Log): Promise<void> {
    await this.#record(log, () => this.context.jobs.requeue(record.id, record.attempt, error));
    log.info({ state: 'queued' }, 'queued again');
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

/** @throws FerryError QUEUE_UNAVAILABLE when it takes longer */
async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new FerryError('QUEUE_UNAVAILABLE', 'the queue server does not answer')), ms);
  });
  return await Promise.race([work, late]).finally(() => clearTimeout(timer));
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
