import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'bullmq';
import { expect } from 'chai';
import { QUEUE_PREFIX, queueName } from '../../../shared/queue/connection.js';
import type { JobStore } from '../../../shared/queue/job-store.js';
import { TestRedis } from '../../helpers/redis.js';
import { Behind, mustStart, openStore, result, uploadRequest } from './support.js';

describe('job store: what a crash leaves behind is repaired', () => {
  let redis: TestRedis;
  let store: JobStore;
  let behind: Behind;

  before(async () => {
    redis = await TestRedis.start();
    store = await openStore(redis);
    behind = new Behind(redis);
  });
  beforeEach(() => redis.flush());
  after(async () => {
    await behind?.close();
    await store?.close();
    await redis?.stop();
  });

  /** A job as a process leaves it that died after recording it: in the outbox, unknown to BullMQ. */
  async function recordedOnly(): Promise<string> {
    const { id } = await store.create(uploadRequest());
    await behind.queue.remove(id);
    await behind.redis.zadd('ferry:outbox', 0, id);
    return id;
  }
  const entry = (id: string) => behind.queue.getJobState(id);

  it('schedules what was recorded but not scheduled', async () => {
    const id = await recordedOnly();
    expect(await entry(id)).to.equal('unknown');
    await store.reconcile();
    expect(await entry(id)).to.equal('prioritized');
    expect(await behind.redis.zcard('ferry:outbox')).to.equal(0);
    expect(await store.get(id)).to.include({ state: 'queued', version: 1 });
  });

  it('does so when a process opens the store', async () => {
    const id = await recordedOnly();
    const next = await openStore(redis);
    expect(await entry(id)).to.equal('prioritized');
    await next.close();
  });

  it('finds a queued job that BullMQ lost, without an outbox entry', async () => {
    const { id } = await store.create(uploadRequest());
    await behind.queue.obliterate({ force: true });
    await store.reconcile();
    expect(await entry(id)).to.equal('prioritized');
  });

  it('schedules each job once when many processes repair at once', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, recordedOnly));
    const others = await Promise.all([openStore(redis), openStore(redis), openStore(redis)]);
    await Promise.all([store, ...others].map((each) => each.reconcile()));
    expect((await behind.queue.getPrioritized()).map((job) => job.id).sort()).to.deep.equal(ids.sort());
    await Promise.all(others.map((each) => each.close()));
  });

  it('forgets outbox entries of jobs that ended or are gone', async () => {
    const id = await recordedOnly();
    await store.cancel(id);
    await behind.redis.zadd('ferry:outbox', 0, id, 0, '01890000-0000-7000-8000-000000000000');
    await store.reconcile();
    expect(await behind.redis.zcard('ferry:outbox')).to.equal(0);
    expect(await entry(id)).to.equal('unknown');
  });

  it('gives a running job to the next node when BullMQ no longer has it', async () => {
    const { id } = await store.create(uploadRequest());
    await mustStart(store, id);
    await behind.queue.remove(id);
    await store.reconcile();
    expect(await store.get(id)).to.deep.include({ state: 'queued', attempt: 1 });
    expect(await entry(id)).to.equal('prioritized');
    expect(await store.report(id, 1, 'copying', null), 'the node that was thought dead').to.equal(false);
  });

  it('ends a running job as canceled when its node is gone and a cancel is pending', async () => {
    const { id } = await store.create(uploadRequest());
    await mustStart(store, id);
    await behind.queue.remove(id);
    await behind.redis.hset(`ferry:job:${id}`, 'cancelRequested', '1');
    await store.reconcile();
    expect(await store.get(id)).to.include({ state: 'canceled' });
    expect(await entry(id)).to.equal('unknown');
  });

  it('leaves a job alone that a worker is running', async () => {
    let finish = () => {};
    const mayFinish = new Promise<void>((resolve) => (finish = resolve));
    let begun = () => {};
    const started = new Promise<void>((resolve) => (begun = resolve));
    const worker = await runWorker(async (id) => {
      const record = await mustStart(store, id);
      begun();
      await mayFinish;
      await store.finish(id, record.attempt, { state: 'completed', result });
    });
    const { id } = await store.create(uploadRequest());
    await started;
    await store.reconcile();
    expect(await store.get(id)).to.include({ state: 'active', attempt: 1 });
    finish();
    expect(await ended(id)).to.include({ state: 'completed', attempt: 1 });
    await worker.close();
  });

  it('loses no retry that comes while the earlier run is just leaving BullMQ', async () => {
    let leave = () => {};
    const mayLeave = new Promise<void>((resolve) => (leave = resolve));
    const worker = await runWorker(async (id) => {
      const { attempt } = await mustStart(store, id);
      if (attempt > 1) {
        await store.finish(id, attempt, { state: 'completed', result });
        return;
      }
      await store.finish(id, attempt, { state: 'failed', error: { code: 'STORAGE_IO', message: 'x' } });
      // The record has ended, BullMQ's entry has not: an add of the same id is ignored now.
      await mayLeave;
    });
    const { id } = await store.create(uploadRequest());
    await ended(id);
    await store.retry(id);
    leave();
    expect(await ended(id)).to.include({ state: 'completed', attempt: 2 });
    await worker.close();
  });

  it('loses no job when redis-server is killed, and goes on when it is back', async function () {
    this.timeout(15_000);
    const { id } = await store.create(uploadRequest());
    await redis.kill();
    await redis.start();
    for (;;) {
      const page = await store.list({}, 10).catch(() => delay(50));
      if (page === undefined) continue;
      expect(page.jobs.map((job) => job.id)).to.deep.equal([id]);
      break;
    }
    expect(await entry(id)).to.equal('prioritized');
    await store.create(uploadRequest('after'));
  });

  async function runWorker(process: (id: string) => Promise<void>): Promise<Worker> {
    const worker = new Worker(queueName('default'), (job) => process(job.id as string), {
      connection: behind.redis,
      prefix: QUEUE_PREFIX,
    });
    worker.on('error', () => {});
    await worker.waitUntilReady();
    return worker;
  }

  async function ended(id: string) {
    for (let version = 0; ; ) {
      const record = await store.waitForChange(id, version, 5000);
      if (record === null) throw new Error('the job is gone');
      if (record.endedAt !== null) return record;
      if (record.version === version) throw new Error(`still ${record.state}`);
      version = record.version;
    }
  }
});
