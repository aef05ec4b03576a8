/**
 * A node without storage: BullMQ's worker and our `NodeJobs`, exactly as a real one uses them.
 * What it does with a job stands in the job's label `act`: complete (default), fail, broken (fails
 * until retried), flaky (tried again by itself once), hold (until canceled or paused).
 */
import { Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { closeRedis, createRedis, QUEUE_PREFIX, queueName } from '../../../shared/queue/connection.js';
import type { JobRecord, NodeJobs } from '../../../shared/queue/records.js';
import type { JobError, JobResult, Plan, Progress } from '../../../shared/schemas/job.js';

const GB = 1e9;

export function progressOf(percent: number): Progress {
  const doneBytes = (GB * percent) / 100;
  return {
    totalBytes: GB,
    dataBytes: GB,
    zeroBytes: 0,
    doneBytes,
    durableBytes: doneBytes,
    verifiedBytes: 0,
    percent,
    bytesPerSecond: GB,
    etaSeconds: null,
  };
}

export const result: JobResult & { readonly plan: Plan } = {
  plan: {
    strategy: 'no-zero',
    proof: 'created',
    reason: 'a new file',
    allocation: 'preallocated',
    zeroMethods: ['write-zeroes'],
    directIo: true,
    sectorSize: 512,
    imageBytes: GB,
    targetBytes: GB,
    dataBytes: GB,
    zeroBytes: 0,
    tailBytes: 0,
    extents: 1,
    steps: 60,
    warnings: [],
    estimateSeconds: null,
  },
  durationMs: 5,
  phases: { copying: 4 },
  copiedBytes: GB,
  clonedBytes: 0,
  resumedBytes: 0,
  detectedZeroBytes: 0,
  zeroed: [],
};

export const failure: JobError = { code: 'STORAGE_IO', message: 'pread failed', errno: 5, syscall: 'pread' };

export class FakeNode {
  readonly #connection: Redis;
  readonly #worker: Worker;

  constructor(
    redisUrl: string,
    private readonly jobs: NodeJobs,
  ) {
    this.#connection = createRedis(redisUrl, 'blocking', 'fake-node');
    this.#worker = new Worker(queueName('default'), (job) => this.#run(job.id as string, job.attemptsMade), {
      connection: this.#connection,
      prefix: QUEUE_PREFIX,
      concurrency: 10,
    });
    this.#worker.on('error', () => {});
  }

  async close(): Promise<void> {
    await this.#worker.close();
    closeRedis(this.#connection);
  }

  async #run(id: string, earlier: number): Promise<void> {
    const record = await this.jobs.start(id, 'fake-node');
    // A lease of somebody else: no test has two nodes at one job.
    if (record === null || typeof record === 'number') return;
    const { attempt } = record;
    for (const percent of [25, 50, 100]) await this.jobs.report(id, attempt, 'copying', progressOf(percent));
    const act = record.request.labels.act ?? 'complete';
    if (act === 'hold') await this.#hold(record);
    else if (act === 'fail' || (act === 'broken' && attempt === 1))
      await this.jobs.finish(id, attempt, { state: 'failed', error: failure });
    else if (act === 'flaky' && earlier === 0) {
      await this.jobs.requeue(id, attempt, failure);
      throw new Error('once more');
    } else await this.jobs.finish(id, attempt, { state: 'completed', result });
  }

  async #hold({ id, attempt }: JobRecord): Promise<void> {
    let stop = () => {};
    const wish = await new Promise<'cancel' | 'pause'>((resolve) => {
      stop = this.jobs.onWishes(id, ({ cancel, pause }) => {
        if (cancel || pause) resolve(cancel ? 'cancel' : 'pause');
      });
    });
    stop();
    if (wish === 'pause') await this.jobs.suspend(id, attempt);
    else await this.jobs.finish(id, attempt, { state: 'canceled' });
  }
}
