/**
 * What this node says of its jobs, for Prometheus: what began, how it ended, and the bytes that moved. Counters, so that
 * what is added up over nodes and restarts is right. Labels are pools, states, codes and methods: nothing that grows.
 */
import { Counter, type Registry } from 'prom-client';
import { ERRORS, type ErrorCode } from '../../shared/errors.js';
import type { JobState } from '../../shared/schemas/job.js';
import { ZERO_METHODS } from '../../shared/zero-methods.js';
import type { Moved } from './tally.js';

const ENDS = ['completed', 'failed', 'canceled', 'paused'] as const satisfies readonly JobState[];
export type End = (typeof ENDS)[number];

/** Codes that a job can meet; those of requests are the API's. */
const JOB_CODES = (Object.keys(ERRORS) as ErrorCode[]).filter((code) =>
  /^(PATH|SOURCE|TARGET|RANGE|STORAGE|FLUSH|VERIFY|ZERO|CLIENT)_|^(QUEUE_UNAVAILABLE|INTERNAL)$/.test(code),
);

export class JobMetrics {
  readonly #started: Counter<'pool'>;
  readonly #takenOver: Counter<'pool'>;
  readonly #ended: Counter<'pool' | 'state'>;
  readonly #errors: Counter<'pool' | 'code'>;
  readonly #leasesLost: Counter<'pool'>;
  readonly #checkpoints: Counter<'pool'>;
  readonly #copied: Counter<'pool'>;
  readonly #cloned: Counter<'pool'>;
  readonly #zeroed: Counter<'pool' | 'method'>;
  readonly #durable: Counter<'pool'>;
  readonly #verified: Counter<'pool'>;

  /** @param pools  shown from the start: an alert must see the first failure as a change */
  constructor(registry: Registry, pools: readonly string[]) {
    const counter = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
      new Counter<L>({ name, help, labelNames, registers: [registry] });
    this.#started = counter('ferry_job_attempts_total', 'Attempts at jobs that this node began', 'pool');
    this.#takenOver = counter(
      'ferry_jobs_taken_over_total',
      'Jobs that this node took over from a node that did not answer any more',
      'pool',
    );
    this.#ended = counter(
      'ferry_jobs_ended_total',
      'Jobs that ended or were paused while this node ran them, by the state they came into',
      'pool',
      'state',
    );
    this.#errors = counter(
      'ferry_job_errors_total',
      'Attempts that an error ended, by its code (docs/api.md), also when the job is tried again',
      'pool',
      'code',
    );
    this.#leasesLost = counter(
      'ferry_leases_lost_total',
      'Attempts that had to stop writing because the job was no longer theirs, or nobody could say that it was',
      'pool',
    );
    this.#checkpoints = counter(
      'ferry_checkpoints_total',
      'Checkpoints recorded: from there a job goes on after a crash',
      'pool',
    );
    this.#copied = counter('ferry_copied_bytes_total', 'Bytes of data written from sources to targets', 'pool');
    this.#cloned = counter(
      'ferry_cloned_bytes_total',
      'Bytes of targets that share the blocks of their sources, holes included',
      'pool',
    );
    this.#zeroed = counter(
      'ferry_zeroed_bytes_total',
      'Bytes of targets that were zeroed, by the method that the storage took',
      'pool',
      'method',
    );
    this.#durable = counter(
      'ferry_durable_bytes_total',
      'Bytes of targets that jobs settled, by copying, cloning or zeroing, and that a flush has confirmed',
      'pool',
    );
    this.#verified = counter('ferry_verified_bytes_total', 'Bytes of targets read back and found right', 'pool');
    for (const pool of pools) this.#show(pool);
  }

  #show(pool: string): void {
    const plain = [this.#started, this.#takenOver, this.#leasesLost, this.#checkpoints];
    for (const counter of [...plain, this.#copied, this.#cloned, this.#durable, this.#verified])
      counter.inc({ pool }, 0);
    for (const state of ENDS) this.#ended.inc({ pool, state }, 0);
    for (const code of JOB_CODES) this.#errors.inc({ pool, code }, 0);
    for (const method of ZERO_METHODS) this.#zeroed.inc({ pool, method }, 0);
  }

  started(pool: string, takenOver: boolean): void {
    this.#started.inc({ pool });
    if (takenOver) this.#takenOver.inc({ pool });
  }

  ended(pool: string, state: End): void {
    this.#ended.inc({ pool, state });
  }

  error(pool: string, code: ErrorCode): void {
    this.#errors.inc({ pool, code });
  }

  leaseLost(pool: string): void {
    this.#leasesLost.inc({ pool });
  }

  checkpoint(pool: string): void {
    this.#checkpoints.inc({ pool });
  }

  moved(pool: string, { copied, cloned, zeroed, durable, verified }: Moved): void {
    this.#copied.inc({ pool }, copied);
    this.#cloned.inc({ pool }, cloned);
    for (const { method, bytes } of zeroed) this.#zeroed.inc({ pool, method }, bytes);
    this.#durable.inc({ pool }, durable);
    this.#verified.inc({ pool }, verified);
  }
}
