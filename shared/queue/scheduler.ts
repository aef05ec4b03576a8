/**
 * BullMQ as our scheduler: one queue a pool, one entry a job, nothing in it but id, kind and priority.
 * It decides who runs a job next and when it is tried again; the job record decides what the job is.
 * Adding is safe to repeat: BullMQ ignores an id that it already has.
 */
import type { ConnectionOptions, JobState as EntryState } from 'bullmq';
import type { Redis } from 'ioredis';
import { FerryError } from '../errors.js';
import type { Log } from '../log.js';
import type { JobKind } from '../schemas/job.js';
import { Queue } from './bullmq.js';
import { QUEUE_PREFIX, queueCall, queueName } from './connection.js';
import { atMost } from './patience.js';

/** Our highest priority (`UploadOptions.priority`). */
const MAX_PRIORITY = 1000;
const CLOSE_PATIENCE_MS = 1000;

export interface SchedulerOptions {
  /** Most jobs of a pool that run at once over all nodes; a pool that is not named keeps what others set. */
  readonly poolConcurrency: ReadonlyMap<string, number | null>;
  readonly jobAttempts: number;
  readonly retryDelayMs: number;
}

/** `missing`: BullMQ does not know the job. */
export type Entry = EntryState | 'missing';

function toBullPriority(priority: number): number {
  return MAX_PRIORITY + 1 - priority;
}

export class Scheduler {
  readonly #redis: Redis;
  readonly #options: SchedulerOptions;
  readonly #log: Log;
  readonly #queues = new Map<string, Promise<Queue>>();

  constructor(redis: Redis, options: SchedulerOptions, log: Log) {
    this.#redis = redis;
    this.#options = options;
    this.#log = log;
  }

  async add(id: string, kind: JobKind, pool: string, priority: number): Promise<void> {
    const queue = await this.queue(pool);
    await queueCall(() =>
      queue.add(
        kind,
        {},
        {
          jobId: id,
          attempts: this.#options.jobAttempts,
          backoff: { type: 'exponential', delay: this.#options.retryDelayMs },
          // The record stays; BullMQ's entry has done its work.
          removeOnComplete: true,
          removeOnFail: true,
          // BullMQ runs 1 before 2, and what has no priority before everything else: so everything has one.
          priority: toBullPriority(priority),
        },
      ),
    );
  }

  /** For an entry that waits; one that runs has had its turn. */
  async changePriority(id: string, pool: string, priority: number): Promise<void> {
    const queue = await this.queue(pool);
    const job = await queueCall(() => queue.getJob(id));
    if (job === undefined) return;
    await queueCall(() => job.changePriority({ priority: toBullPriority(priority) })).catch((thrown: unknown) => {
      // It left the queue meanwhile: nothing is to be changed any more.
      if (thrown instanceof FerryError) throw thrown;
      this.#log.debug({ err: thrown, job: id }, 'priority not changed');
    });
  }

  /** Forgets an entry that waits. One that a worker holds stays: its `start` will find the job ended. */
  async remove(id: string, pool: string): Promise<boolean> {
    const queue = await this.queue(pool);
    return (await queueCall(() => queue.remove(id))) === 1;
  }

  async entry(id: string, pool: string): Promise<Entry> {
    const queue = await this.queue(pool);
    const state = await queueCall(() => queue.getJobState(id));
    return state === 'unknown' ? 'missing' : state;
  }

  /** Entries that wait for a worker, and those that wait until it is time for another try; one round trip. */
  async depth(pool: string): Promise<{ readonly ready: number; readonly delayed: number }> {
    const queue = await this.queue(pool);
    const {
      waiting = 0,
      prioritized = 0,
      delayed = 0,
    } = await queueCall(() => queue.getJobCounts('waiting', 'prioritized', 'delayed'));
    return { ready: waiting + prioritized, delayed };
  }

  /** Which of these jobs BullMQ does not know; one round trip. */
  async missing(jobs: readonly { id: string; pool: string }[]): Promise<Set<string>> {
    if (jobs.length === 0) return new Set();
    const pipeline = this.#redis.pipeline();
    for (const job of jobs) pipeline.exists(`${QUEUE_PREFIX}:${queueName(job.pool)}:${job.id}`);
    const replies = (await queueCall(() => pipeline.exec())) ?? [];
    const missing = new Set<string>();
    for (const [index, job] of jobs.entries()) {
      const [error, exists] = replies[index] ?? [null, 1];
      if (error === null && exists === 0) missing.add(job.id);
    }
    return missing;
  }

  /** The BullMQ queue of a pool, connected. One that could not connect is forgotten and made anew next time. */
  queue(pool: string): Promise<Queue> {
    let queue = this.#queues.get(pool);
    if (queue === undefined) {
      queue = this.#open(pool);
      this.#queues.set(pool, queue);
      queue.catch(() => this.#queues.delete(pool));
    }
    return queue;
  }

  async close(): Promise<void> {
    const queues = await Promise.allSettled(this.#queues.values());
    for (const queue of queues) if (queue.status === 'fulfilled') await atMost(CLOSE_PATIENCE_MS, queue.value.close());
  }

  async #open(pool: string): Promise<Queue> {
    // A BullMQ queue whose first commands failed never works: so it is only made when Redis answers.
    await queueCall(() => this.#redis.ping());
    const queue = new Queue(queueName(pool), {
      connection: this.#redis as ConnectionOptions,
      prefix: QUEUE_PREFIX,
      // Nobody reads this stream but debuggers.
      streams: { events: { maxLen: 1000 } },
    });
    queue.on('error', (error) => this.#log.debug({ err: error, pool }, 'queue connection'));
    try {
      await queueCall(() => queue.waitUntilReady());
      const limit = this.#options.poolConcurrency.get(pool);
      if (limit === null) await queueCall(() => queue.removeGlobalConcurrency());
      else if (limit !== undefined) await queueCall(() => queue.setGlobalConcurrency(limit));
    } catch (error) {
      await atMost(CLOSE_PATIENCE_MS, queue.close());
      throw error;
    }
    return queue;
  }
}
