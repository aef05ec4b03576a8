/**
 * What Redis holds of a batch. Its disks are jobs like any other; the batch knows their ids, counts their states
 * and decides how many of them may run. Nothing of a job is kept twice.
 */
import type { BatchCounts, BatchRequest } from '../schemas/batch.js';
import type { JobError, JobPhase, JobState, Progress } from '../schemas/job.js';

export interface BatchRecord {
  readonly id: string;
  readonly name: string;
  readonly pool: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly maxConcurrentDisks: number;
  readonly onFailure: BatchRequest['onFailure'];
  readonly state: JobState;
  readonly counts: BatchCounts;
  /** RFC 3339, UTC. */
  readonly createdAt: string;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  /** Grows with every change that a watcher may want to see; progress alone moves it about twice a second. */
  readonly version: number;
}

export interface DiskRecord {
  readonly jobId: string;
  readonly state: JobState;
  readonly phase: JobPhase | null;
  readonly target: string;
  readonly progress: Progress | null;
  readonly error: JobError | null;
}

/** A batch with its disks, in the order of the request. */
export interface BatchDetail extends BatchRecord {
  readonly vms: readonly { readonly name: string; readonly disks: readonly DiskRecord[] }[];
}

export interface BatchFilter {
  readonly state?: JobState | undefined;
  readonly pool?: string | undefined;
}

export interface BatchPage {
  readonly batches: readonly BatchRecord[];
  /** null: this was the last page. */
  readonly nextCursor: string | null;
}

export interface CreatedBatch {
  readonly id: string;
  readonly state: JobState;
  /** Number of disks. */
  readonly disks: number;
  /** True: an earlier request with this Idempotency-Key made it. */
  readonly replayed: boolean;
}

/** What the API needs of the batches (`shared/queue/batch-store.ts`); an id that is no batch throws BATCH_NOT_FOUND. */
export interface Batches {
  /**
   * Records a batch and all of its jobs in one step: all of it is queued or nothing is.
   * @throws FerryError IDEMPOTENCY_CONFLICT, QUEUE_UNAVAILABLE
   */
  create(request: BatchRequest, options?: { readonly idempotencyKey?: string | undefined }): Promise<CreatedBatch>;
  /** @returns null when the key is new @throws FerryError IDEMPOTENCY_CONFLICT */
  findCreated(request: BatchRequest, idempotencyKey: string): Promise<CreatedBatch | null>;
  /** One round trip, however many disks. @returns null when there is no such batch (any more) */
  get(id: string): Promise<BatchDetail | null>;
  list(filter: BatchFilter, limit: number, cursor?: string): Promise<BatchPage>;
  /** As `JobStore.waitForChange`. */
  waitForChange(
    id: string,
    since: number | 'current',
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<BatchDetail | null>;
  /** Cancels every disk that has not ended. @throws FerryError BATCH_STATE_CONFLICT when it has ended */
  cancel(id: string): Promise<BatchRecord>;
  /** Running disks stop at their next system call and keep what they did; waiting ones wait. @throws BATCH_STATE_CONFLICT when it has ended */
  pause(id: string): Promise<BatchRecord>;
  /** What the pause of the batch stopped goes on; a disk that was paused by itself stays. @throws BATCH_STATE_CONFLICT when it has ended */
  resume(id: string): Promise<BatchRecord>;
  /** Queues the disks that failed, and those that a failure canceled, once more. @throws BATCH_STATE_CONFLICT when there are none */
  retry(id: string): Promise<BatchRecord>;
}
