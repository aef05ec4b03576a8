/**
 * A transfer node: one BullMQ worker for each pool it serves, one set of threads for all of them.
 * Also answers dry runs. Closing it stops taking jobs, lets what runs stop at its next system call,
 * and puts those jobs back into the queue.
 */
import type { Job } from 'bullmq';
import type { Registry } from 'prom-client';
import type { Config } from '../../shared/config.js';
import type { Log } from '../../shared/log.js';
import { WaitingError, Worker } from '../../shared/queue/bullmq.js';
import { closeRedis, createRedis, QUEUE_PREFIX, queueName } from '../../shared/queue/connection.js';
import type { JobStore } from '../../shared/queue/job-store.js';
import { atMost } from '../../shared/queue/patience.js';
import { servePlans } from '../../shared/queue/plans.js';
import type { NodeJobs } from '../../shared/queue/records.js';
import type { Workers } from '../../workers/pool.js';
import { Attempt } from './attempt.js';
import { BusyPatience } from './busy-patience.js';
import type { DataPlane } from './data-plane.js';
import { planJob } from './dry-run.js';
import { Gate } from './gate.js';
import { Heartbeat } from './heartbeat.js';
import { limitsOf } from './job.js';
import { JobMetrics } from './metrics.js';
import { registerNodeMetrics } from './node-metrics.js';
import { createBucket } from './throttle.js';
import { wakeWorker } from './wake-worker.js';

/** So often in a lease each node looks for jobs whose node is silent. */
const STALLED_CHECKS = 3;
/** A crash is not the job's fault: only its errors count against its attempts. */
const STALLS_ALLOWED = 1000;
/** BullMQ may wait for ever for a Redis that is away. */
const QUEUE_CLOSE_MS = 5_000;

export interface TransferNode {
  close(): Promise<void>;
}

export interface TransferNodeOptions {
  readonly config: Config;
  /** Its lines say which node they are of. */
  readonly log: Log;
  readonly redisUrl: string;
  /** The caller closes them, after the node. */
  readonly workers: Workers;
  readonly jobs: NodeJobs & Pick<JobStore, 'beat'>;
  /** Serves clients of jobs. */
  readonly plane: DataPlane;
  readonly version: string;
  /** What the node measures is registered here. */
  readonly metrics: Registry;
}

/** @throws FerryError NATIVE_MODULE, QUEUE_UNAVAILABLE */
export async function startTransferNode(options: TransferNodeOptions): Promise<TransferNode> {
  const { config, log, redisUrl, jobs, workers } = options;
  const metrics = new JobMetrics(options.metrics, config.pools);
  const running = new Map<string, Attempt>();
  const gate = new Gate(config.concurrency);
  const busy = new BusyPatience();
  const bucket = createBucket(config.bandwidthBytesPerSecond);
  let closing = false;

  registerNodeMetrics(options.metrics, {
    ...config,
    workers,
    runningPools: () => [...running.values()].flatMap(({ pool }) => pool ?? []),
  });

  const process = async (job: Job, token?: string): Promise<void> => {
    const id = job.id as string;
    // BullMQ hands a job out again when its lock ran out. The earlier run of it here must end first.
    const earlier = running.get(id);
    if (earlier !== undefined) {
      earlier.stop('lost');
      await earlier.ended;
    }
    // Fetched while the last place was taken by a job of another pool: another node may have one.
    if (gate.full && queues.length > 1) {
      rest();
      await job.moveToWait(token);
      throw new WaitingError();
    }
    try {
      await gate.pass(async () => {
        if (gate.full) rest();
        const attempt = new Attempt({ ...options, metrics, bucket, mayWait: busy.mayWait }, job, token);
        running.set(id, attempt);
        if (closing) attempt.stop('shutdown');
        try {
          await attempt.run();
        } finally {
          if (running.get(id) === attempt) running.delete(id);
        }
      });
    } finally {
      // Also after a failure, which an attempt tells BullMQ by throwing.
      if (!closing && !gate.full) goOn();
    }
  };
  // Each pool has a worker with as many places as the node: those of one must not take what the node has no place
  // for, while another node may be idle.
  const rest = () => {
    if (queues.length > 1) for (const worker of queues) void worker.pause(true);
  };
  const goOn = () => {
    for (const worker of queues) if (worker.isPaused()) void wakeWorker(worker);
  };

  const connection = createRedis(redisUrl, 'blocking', `node-${config.nodeName}`);
  const queues = config.pools.map((pool) => {
    const worker = new Worker(queueName(pool), process, {
      connection,
      prefix: QUEUE_PREFIX,
      concurrency: config.concurrency,
      // BullMQ's lock says who runs a job next, our lease who may write: both end together.
      lockDuration: config.leaseMs,
      stalledInterval: Math.round(config.leaseMs / STALLED_CHECKS),
      maxStalledCount: STALLS_ALLOWED,
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 0 },
    });
    worker.on('error', (err) => log.warn({ err, pool }, 'queue worker'));
    return worker;
  });
  const plans = servePlans({ redisUrl, pools: config.pools, log }, (request) =>
    planJob(workers, limitsOf(config), request),
  );
  await Promise.all([workers.ready(), ...queues.map((worker) => worker.waitUntilReady())]);
  const heartbeat = new Heartbeat({ config, version: options.version, workers, running, jobs, log });
  await heartbeat.start();

  return {
    async close() {
      closing = true;
      for (const attempt of running.values()) attempt.stop('shutdown');
      void heartbeat.say('draining');
      // No new job starts: closing a worker stops its fetching at once. What runs ends at its next system call.
      const closed = queues.map((worker) => worker.close());
      await Promise.all([...running.values()].map((attempt) => attempt.ended));
      await Promise.all([...closed.map((close) => atMost(QUEUE_CLOSE_MS, close)), plans.close()]);
      await heartbeat.stop();
      closeRedis(connection);
    },
  };
}
