/** A node of several pools rests and goes on with every job: no worker may be lost at that, whatever the moment. */
import { Queue, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { wakeWorker } from '../../../services/transfer/wake-worker.js';
import { closeRedis, createRedis } from '../../../shared/queue/connection.js';
import { TestRedis } from '../../helpers/redis.js';
import { until } from '../../integration/cli/programs.js';

describe('transfer: waking a worker', function () {
  this.timeout(20_000);
  let redis: TestRedis;
  let connection: Redis;
  let queue: Queue;
  let worker: Worker;
  let ran: number;

  beforeEach(async () => {
    redis = await TestRedis.start();
    connection = createRedis(redis.url, 'blocking', 'wake-worker');
    ran = 0;
    const run = async () => {
      ran += 1;
    };
    // It waits for a job for moments only, so that its loop ends soon after a pause.
    worker = new Worker('jobs', run, { connection, drainDelay: 0.01 });
    queue = new Queue('jobs', { connection });
    await worker.waitUntilReady();
  });

  afterEach(async () => {
    await worker.close();
    await queue.close();
    closeRedis(connection);
    await redis.stop();
  });

  async function expectRuns(): Promise<void> {
    await queue.add('job', {});
    await until('the job ran', () => ran === 1);
  }

  it('lets it run jobs that came while it rested', async () => {
    await worker.pause(true);
    await until('its loop has ended', () => !worker.isRunning());
    await wakeWorker(worker);
    await expectRuns();
  });

  it('loses no worker whose loop is just ending', async () => {
    // Symptom: a node that served several pools left the jobs of one alone, until a job of another one had run.
    const inside = worker as unknown as { mainLoop(): Promise<void> };
    const loop = inside.mainLoop.bind(worker);
    await worker.pause(true);
    await until('its loop has ended', () => !worker.isRunning());
    const woken = new Promise<void>((resolve) => {
      let first = true;
      inside.mainLoop = async () => {
        await loop();
        if (!first) return;
        first = false;
        // The loop is over; that the worker runs is forgotten a moment later.
        resolve(wakeWorker(worker));
      };
    });
    await worker.resume();
    await worker.pause(true);
    await woken;
    await expectRuns();
  });
});
