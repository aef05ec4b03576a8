/**
 * The job record: what Redis holds of a job beside BullMQ's own entry. The record is the truth about
 * a job's state; BullMQ decides who runs it next and when it is tried again.
 * `attempt` grows by one with each start and is the fencing token of the record: what a node writes
 * under an older attempt is refused.
 */
import type {
  ClientOffer,
  FinalizeRequest,
  JobError,
  JobKind,
  JobPhase,
  JobRequest,
  JobResult,
  JobState,
  Progress,
} from '../schemas/job.js';
import type { Checkpoint } from './checkpoint.js';

export interface JobRecord {
  readonly id: string;
  readonly kind: JobKind;
  readonly request: JobRequest;
  readonly state: JobState;
  readonly phase: JobPhase | null;
  readonly progress: Progress | null;
  readonly result: JobResult | null;
  readonly error: JobError | null;
  readonly attempt: number;
  /** The node that runs it or ran it last. */
  readonly node: string | null;
  /** The node that did not answer any more, from which this attempt took the job over; null: it did not. */
  readonly lostNode: string | null;
  readonly cancelRequested: boolean;
  readonly pauseRequested: boolean;
  /** Where the job is a disk of a batch. */
  readonly batch: { readonly id: string; readonly vm: string } | null;
  /** BullMQ may have it; false while it waits for a place in its batch. */
  readonly admitted: boolean;
  /** What the request says, or a later PATCH. */
  readonly priority: number;
  readonly bandwidthBytesPerSecond: number | null;
  /** What is known durable of the job's target; null: nothing. */
  readonly checkpoint: Checkpoint | null;
  /** Where its client sends or reads now; null: it cannot. */
  readonly offer: ClientOffer | null;
  /** What its client said when it had sent or read all; null: it has not. */
  readonly finalize: FinalizeRequest | null;
  /** RFC 3339, UTC. */
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  /** Grows with every change that a watcher may want to see. */
  readonly version: number;
}

/** How an attempt ended for good. */
export type Outcome =
  | { readonly state: 'completed'; readonly result: JobResult }
  | { readonly state: 'failed'; readonly error: JobError }
  | { readonly state: 'canceled' };

/** What somebody wants of a running job. */
export interface Wishes {
  readonly cancel: boolean;
  readonly pause: boolean;
  readonly bandwidthBytesPerSecond: number | null;
  readonly finalize: FinalizeRequest | null;
}

/** `held`: nobody else may write the target now. `previous`: the job that wrote it last; null: none of ours. */
export type Hold =
  | { readonly answer: 'held'; readonly previous: string | null }
  | { readonly answer: 'busy'; readonly holder: string }
  | { readonly answer: 'lost' };

/** What a transfer node needs of the job store (`shared/queue/job-store.ts`). */
export interface NodeJobs {
  /**
   * Claims a queued job, or one left active by a node that died: state `active`, attempt + 1, phase `opening`, and a
   * lease: until it runs out nobody else gets the job.
   * @returns the record; null: it has ended, was canceled or paused, or is unknown: nothing to do;
   *          a number: somebody else has a lease on it for so many ms more
   */
  start(id: string, node: string): Promise<JobRecord | null | number>;
  /**
   * Renews the lease, and says how far the job is.
   * @returns false when this attempt no longer owns the job: stop writing to the target at once
   */
  report(id: string, attempt: number, phase: JobPhase, progress: Progress | null): Promise<boolean>;
  /** Whether this attempt still owns the job; changes nothing. */
  owns(id: string, attempt: number): Promise<boolean>;
  /**
   * Claims the target for this job over all nodes of the pool, for as long as the job's lease lasts. Once another job
   * has taken it after that, the attempt owns its job no longer.
   */
  hold(id: string, attempt: number, target: string): Promise<Hold>;
  /** Says where the job's client sends or reads. @returns false as `report` */
  offer(id: string, attempt: number, offer: ClientOffer): Promise<boolean>;
  /** Forgets that the client has said that it is done: it must send again what was lost. @returns false as `report` */
  unfinalize(id: string, attempt: number): Promise<boolean>;
  /**
   * Records what a flush has confirmed; null: nothing is known of the target any more.
   * @param progress  it claims more than the one before: a job that comes on is not what kills nodes
   * @returns false when this attempt no longer owns the job
   */
  checkpoint(id: string, attempt: number, checkpoint: Checkpoint | null, progress: boolean): Promise<boolean>;
  /** Back to `queued`, for another attempt; `error` says why (null: the node is shutting down). */
  requeue(id: string, attempt: number, error: JobError | null): Promise<boolean>;
  /** Ends an attempt that was stopped by a pause: `paused`, or `queued` when it was withdrawn meanwhile. */
  suspend(id: string, attempt: number): Promise<boolean>;
  /** Ends the job. */
  finish(id: string, attempt: number, outcome: Outcome): Promise<boolean>;
  /** Calls back with what is wanted of a running job: at once, and whenever it may have changed. @returns unsubscribe */
  onWishes(id: string, callback: (wishes: Wishes) => void): () => void;
}
