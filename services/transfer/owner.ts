/**
 * What makes one attempt the only writer of its job's target (design §3): the attempt's number is the fencing token
 * of the record, the lease says until when it may write, and a hold claims the target against other jobs on all
 * nodes. An OS lock on the target (`workers/storage/open.ts`) keeps out what runs on the same machine.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../../shared/errors.js';
import type { Log } from '../../shared/log.js';
import type { Checkpoint } from '../../shared/queue/checkpoint.js';
import type { JobRecord, NodeJobs } from '../../shared/queue/records.js';
import type { ClientOffer, JobPhase, Progress } from '../../shared/schemas/job.js';
import type { ControlBlock } from '../../workers/control.js';

/** What a job needs of its owner; all of them throw LEASE_LOST when the job is somebody else's by now. */
export interface Owner {
  /**
   * Claims the target over all nodes.
   * @returns whether no other job of ours has written it since this one did
   * @throws FerryError TARGET_BUSY  another job writes it on another node
   */
  hold(target: string): Promise<boolean>;
  /** Asks whether the job still is ours; called before each step. */
  confirm(): Promise<void>;
  /**
   * Records where the job begins, before it writes; null: nothing is known of the target. Nothing earlier stays.
   * @throws FerryError QUEUE_UNAVAILABLE  it could not be recorded
   */
  begin(checkpoint: Checkpoint | null): Promise<void>;
  /**
   * Records what a flush has confirmed. Where Redis is away the next one says it.
   * @param progress  it claims more than the one before
   */
  save(checkpoint: Checkpoint, progress: boolean): Promise<void>;
  /** Says where the job's client sends or reads. @throws FerryError QUEUE_UNAVAILABLE */
  offer(offer: ClientOffer): Promise<void>;
  /** The client must go on: what it had sent was lost. @throws FerryError QUEUE_UNAVAILABLE */
  unfinalize(): Promise<void>;
}

/** For work that no queue knows of. */
export const UNSHARED: Owner = {
  hold: async () => false,
  confirm: async () => {},
  begin: async () => {},
  save: async () => {},
  offer: async () => {},
  unfinalize: async () => {},
};

/** Redis is asked again when the last answer is older: a step is dispatched every few ms at the most. */
const CONFIRMED_MS = 100;
/** While Redis is asked the lease is looked at so often. */
const LOOK_MS = 50;
/** Redis lets the lease run a little longer than we write: clocks drift, and a call takes its time. */
const MARGIN = 0.2;

export class LeaseOwner implements Owner {
  #confirmedAt = 0;
  #confirming: Promise<void> | null = null;
  #lost = false;

  constructor(
    private readonly record: Pick<JobRecord, 'id' | 'attempt' | 'request'>,
    private readonly jobs: NodeJobs,
    private readonly control: ControlBlock,
    private readonly leaseMs: number,
    private readonly log: Log,
    /** Called when a checkpoint is recorded. */
    private readonly onCheckpoint: () => void = () => {},
  ) {}

  /** Call with the moment before the request that was granted was sent. */
  granted(sentNs: bigint): void {
    this.control.writeUntil(sentNs + BigInt(Math.round(this.leaseMs * (1 - MARGIN) * 1e6)));
    this.#confirmedAt = Date.now();
  }

  /** Reports and thereby renews the lease. @returns false when the job is somebody else's */
  async renew(phase: JobPhase, progress: Progress | null): Promise<boolean> {
    const sent = process.hrtime.bigint();
    const owned = await this.jobs.report(this.record.id, this.record.attempt, phase, progress);
    if (owned) this.granted(sent);
    else this.#lost = true;
    return owned;
  }

  async hold(target: string): Promise<boolean> {
    const { id, attempt, request } = this.record;
    // A path means one thing in a pool; the name that storage gives itself means one thing everywhere.
    const key = target.includes(':/') ? `${request.pool}|${target}` : target;
    const hold = await this.jobs.hold(id, attempt, key);
    if (hold.answer === 'lost') throw this.#lostError();
    if (hold.answer === 'busy') {
      throw new FerryError('TARGET_BUSY', `the target is being written by job ${hold.holder}, perhaps on another node`);
    }
    return hold.previous === id;
  }

  async confirm(): Promise<void> {
    if (this.#lost) throw this.#lostError();
    if (Date.now() - this.#confirmedAt < CONFIRMED_MS) return;
    this.#confirming ??= this.#ask().finally(() => {
      this.#confirming = null;
    });
    await this.#whileLeased(this.#confirming);
  }

  async begin(checkpoint: Checkpoint | null): Promise<void> {
    const { id, attempt } = this.record;
    if (!(await this.#whileLeased(this.jobs.checkpoint(id, attempt, checkpoint, false)))) throw this.#lostError();
    if (checkpoint !== null) this.#recorded();
  }

  async save(checkpoint: Checkpoint, progress: boolean): Promise<void> {
    const { id, attempt } = this.record;
    try {
      if (await this.#whileLeased(this.jobs.checkpoint(id, attempt, checkpoint, progress))) {
        this.#recorded();
        return;
      }
    } catch (err) {
      if (!isAway(err)) throw err;
      // The lease says how long the job may go on without Redis; the next checkpoint claims more.
      this.log.debug({ err }, 'a checkpoint could not be recorded');
      return;
    }
    throw this.#lostError();
  }

  async offer(offer: ClientOffer): Promise<void> {
    const { id, attempt } = this.record;
    if (!(await this.#whileLeased(this.jobs.offer(id, attempt, offer)))) throw this.#lostError();
  }

  async unfinalize(): Promise<void> {
    const { id, attempt } = this.record;
    if (!(await this.#whileLeased(this.jobs.unfinalize(id, attempt)))) throw this.#lostError();
  }

  #recorded(): void {
    this.log.debug('checkpoint');
    this.onCheckpoint();
  }

  async #ask(): Promise<void> {
    const { id, attempt } = this.record;
    try {
      const owned = await this.jobs.owns(id, attempt);
      this.#confirmedAt = Date.now();
      if (owned) return;
    } catch (err) {
      // Without an answer the deadline of the lease decides: the threads look at it before every write.
      if (isAway(err)) return;
      throw err;
    }
    throw this.#lostError();
  }

  /**
   * Redis may keep us waiting for longer than the lease lasts; whoever takes the job over then needs the target.
   * @throws FerryError LEASE_LOST
   */
  async #whileLeased<T>(answer: Promise<T>): Promise<T> {
    const answered = new AbortController();
    const outlived = (async () => {
      while (this.control.leased) await sleep(LOOK_MS, undefined, { signal: answered.signal });
      throw new FerryError('LEASE_LOST', 'the lease on the job ran out while the queue server did not answer');
    })();
    // Whichever comes second is of no interest, a failure of it neither.
    outlived.catch(() => {});
    answer.catch(() => {});
    try {
      return await Promise.race([answer, outlived]);
    } finally {
      answered.abort();
    }
  }

  #lostError(): FerryError {
    this.#lost = true;
    return new FerryError('LEASE_LOST', 'the job belongs to another attempt by now');
  }
}

function isAway(thrown: unknown): boolean {
  return thrown instanceof FerryError && thrown.code === 'QUEUE_UNAVAILABLE';
}
