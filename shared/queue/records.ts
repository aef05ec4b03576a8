/**
 * The job record: what Redis holds of a job beside BullMQ's own entry. The record is the truth about
 * a job's state; BullMQ decides who runs it next and when it is tried again.
 * `attempt` grows by one with each start and is the fencing token of the record: what a node writes
 * under an older attempt is refused.
 */
import type { JobError, JobKind, JobPhase, JobRequest, JobResult, JobState, Progress } from '../schemas/job.js';

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
  readonly cancelRequested: boolean;
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

/** What a transfer node needs of the job store (`shared/queue/job-store.ts`). */
export interface NodeJobs {
  /**
   * Claims a queued job, or one left active by a node that died: state `active`, attempt + 1, phase `opening`.
   * @returns the record; null when the job has ended, was canceled or is unknown: then there is nothing to do
   */
  start(id: string, node: string): Promise<JobRecord | null>;
  /** @returns false when this attempt no longer owns the job: stop writing to the target at once */
  report(id: string, attempt: number, phase: JobPhase, progress: Progress | null): Promise<boolean>;
  /** Back to `queued`, for another attempt; `error` says why (null: the node is shutting down). */
  requeue(id: string, attempt: number, error: JobError | null): Promise<boolean>;
  /** Ends the job. */
  finish(id: string, attempt: number, outcome: Outcome): Promise<boolean>;
  /** Calls back when somebody wants the running job canceled, also when that was asked before. @returns unsubscribe */
  onCancel(id: string, callback: () => void): () => void;
}
