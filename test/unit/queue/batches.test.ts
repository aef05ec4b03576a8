import { expect } from 'chai';
import type { BatchDetail } from '../../../shared/queue/batch-records.js';
import type { JobStore } from '../../../shared/queue/job-store.js';
import type { JobError } from '../../../shared/schemas/job.js';
import { TestRedis } from '../../helpers/redis.js';
import { codeOf } from './code-of.js';
import { Behind, batchRequest, LONG_LEASE, mustStart, openStore, progress, result, uploadRequest } from './support.js';

const ioError: JobError = { code: 'STORAGE_IO', message: 'pread failed' };

describe('job store: batches', () => {
  let redis: TestRedis;
  let store: JobStore;
  let behind: Behind;

  before(async () => {
    redis = await TestRedis.start();
  });
  beforeEach(async () => {
    await redis.flush();
    store = await openStore(redis, LONG_LEASE);
    behind = new Behind(redis);
  });
  afterEach(async () => {
    await behind?.close();
    await store?.close();
  });
  after(async () => {
    await redis?.stop();
  });

  const get = async (id: string): Promise<BatchDetail> => (await store.batches.get(id)) as BatchDetail;
  const jobsOf = (batch: BatchDetail): string[] => batch.vms.flatMap((vm) => vm.disks.map((disk) => disk.jobId));

  async function create(disks: number, extra: Record<string, unknown> = {}): Promise<{ id: string; jobs: string[] }> {
    const { id } = await store.batches.create(batchRequest([['web', disks]], extra));
    return { id, jobs: jobsOf(await get(id)) };
  }

  /** Ids that BullMQ would hand out, in its order; the outbox must have been drained for that. */
  async function scheduled(): Promise<string[]> {
    await store.reconcile();
    return (await behind.queue.getPrioritized()).map((job) => job.id as string);
  }

  async function run(id: string): Promise<number> {
    return (await mustStart(store, id)).attempt;
  }

  /** Runs a job to its end as a node does, its BullMQ entry included. */
  async function end(id: string, state: 'completed' | 'failed'): Promise<void> {
    const attempt = await run(id);
    await behind.queue.remove(id);
    await store.finish(id, attempt, state === 'completed' ? { state, result } : { state, error: ioError });
  }

  it('queues every disk of every VM, in order, with labels merged, and hands on as many as may run', async () => {
    const request = batchRequest(
      [
        ['web', 2],
        ['db', 3],
      ],
      { maxConcurrentDisks: 2, labels: { wave: '1', vm: 'x' } },
    );
    const created = await store.batches.create(request);
    expect(created).to.include({ state: 'queued', disks: 5, replayed: false });
    const batch = await get(created.id);
    expect(batch).to.deep.include({ name: 'wave', pool: 'default', maxConcurrentDisks: 2, onFailure: 'continue' });
    expect(batch.counts).to.deep.equal({ queued: 5, active: 0, paused: 0, completed: 0, failed: 0, canceled: 0 });
    expect(batch.vms.map((vm) => [vm.name, vm.disks.map((disk) => disk.target)])).to.deep.equal([
      ['web', ['/srv/out/web-0.raw', '/srv/out/web-1.raw']],
      ['db', ['/srv/out/db-0.raw', '/srv/out/db-1.raw', '/srv/out/db-2.raw']],
    ]);
    const jobs = jobsOf(batch);
    expect(await scheduled()).to.deep.equal(jobs.slice(0, 2));
    const job = await store.get(jobs[4] as string);
    expect(job).to.deep.include({ batch: { id: created.id, vm: 'db' }, state: 'queued', admitted: false });
    expect(job?.request.labels).to.deep.equal({ wave: '1', vm: 'x' });
  });

  it('hands on the next disk when one ends, and never more than may run at once', async () => {
    const { id, jobs } = await create(6, { maxConcurrentDisks: 2 });
    await scheduled();
    for (const job of jobs) {
      expect((await scheduled()).length).to.be.at.most(2);
      await end(job, 'completed');
    }
    const batch = await get(id);
    expect(batch).to.include({ state: 'completed' });
    expect(batch.endedAt).to.match(/Z$/);
    expect(batch.counts).to.include({ completed: 6, queued: 0, active: 0 });
  });

  it('lets a single job go before what a batch still holds back', async () => {
    const { jobs } = await create(100, { maxConcurrentDisks: 3 });
    await scheduled();
    const single = await store.create(uploadRequest('urgent'));
    expect(await scheduled()).to.deep.equal([...jobs.slice(0, 3), single.id]);
  });

  it('takes the disks of higher priority first, also when that is changed later', async () => {
    const disk = (name: string, priority: number) => ({
      source: { type: 'file', path: `/srv/${name}` },
      target: { type: 'file', path: `/out/${name}` },
      options: { priority },
    });
    const vms = [{ name: 'vm', disks: [disk('a', 0), disk('b', 500), disk('c', 0), disk('d', 0)] }];
    const { id } = await create(1, { vms, maxConcurrentDisks: 1 });
    const [a, b, c, d] = jobsOf(await get(id)) as [string, string, string, string];
    expect(await scheduled()).to.deep.equal([b]);
    await store.patch(d, { priority: 1 });
    for (const job of [b, d, a, c]) {
      expect(await scheduled()).to.deep.equal([job]);
      await end(job, 'completed');
    }
  });

  it('goes on after a failure, and has failed when the last disk has ended', async () => {
    const { id, jobs } = await create(3, { maxConcurrentDisks: 1 });
    await scheduled();
    await end(jobs[0] as string, 'failed');
    expect(await get(id)).to.include({ state: 'active', endedAt: null });
    for (const job of jobs.slice(1)) {
      await scheduled();
      await end(job, 'completed');
    }
    const batch = await get(id);
    expect(batch).to.include({ state: 'failed' });
    expect(batch.counts).to.include({ completed: 2, failed: 1 });
    expect(batch.vms[0]?.disks[0]?.error).to.deep.equal(ioError);
  });

  it('stops at a failure when that is asked for: what runs goes on, what has not started is canceled', async () => {
    const { id, jobs } = await create(5, { maxConcurrentDisks: 2, onFailure: 'stop' });
    await scheduled();
    const running = await run(jobs[1] as string);
    await end(jobs[0] as string, 'failed');
    expect((await get(id)).counts).to.include({ active: 1, failed: 1, canceled: 3 });
    expect(await store.finish(jobs[1] as string, running, { state: 'completed', result })).to.equal(true);
    expect(await get(id)).to.include({ state: 'failed' });
  });

  it('retries only what failed, and what a failure canceled; not what somebody canceled', async () => {
    const { id, jobs } = await create(5, { maxConcurrentDisks: 1, onFailure: 'stop' });
    await scheduled();
    await end(jobs[0] as string, 'completed');
    await store.cancel(jobs[4] as string);
    expect(await codeOf(store.batches.retry(id))).to.equal('BATCH_STATE_CONFLICT');
    await end(jobs[1] as string, 'failed');
    expect(await get(id)).to.include({ state: 'failed' });
    expect(await store.batches.retry(id)).to.include({ state: 'active', endedAt: null });
    expect((await get(id)).counts).to.include({ completed: 1, queued: 3, canceled: 1 });
    for (const job of jobs.slice(1, 4)) {
      expect(await scheduled()).to.deep.equal([job]);
      await end(job, 'completed');
    }
    expect(await get(id)).to.include({ state: 'canceled' });
  });

  it('cancels what waits at once and asks what runs', async () => {
    const { id, jobs } = await create(4, { maxConcurrentDisks: 2 });
    await scheduled();
    const attempt = await run(jobs[0] as string);
    await store.batches.cancel(id);
    expect((await get(id)).counts).to.include({ active: 1, canceled: 3 });
    expect(await store.get(jobs[0] as string)).to.include({ cancelRequested: true });
    expect((await behind.queue.getPrioritized()).map((job) => job.id)).to.not.include(jobs[1]);
    await store.finish(jobs[0] as string, attempt, { state: 'canceled' });
    expect(await get(id)).to.include({ state: 'canceled' });
    expect(await codeOf(store.batches.cancel(id))).to.equal('BATCH_STATE_CONFLICT');
  });

  it('pauses what runs and holds back what waits; resumes only what the pause stopped', async () => {
    const { id, jobs } = await create(4, { maxConcurrentDisks: 2 });
    const [first, second, third, fourth] = jobs as [string, string, string, string];
    await scheduled();
    const attempt = await run(first);
    await store.pause(fourth);
    await store.batches.pause(id);
    expect(await store.get(first)).to.include({ pauseRequested: true, state: 'active' });
    await store.suspend(first, attempt);
    expect(await get(id)).to.include({ state: 'paused' });
    expect((await get(id)).counts).to.include({ paused: 2, queued: 2, active: 0 });
    // A worker that still had the second one in its hands finds nothing to do.
    expect(await store.start(second, 'node')).to.equal(null);
    await store.batches.resume(id);
    expect((await get(id)).counts).to.include({ paused: 1, queued: 3 });
    await behind.queue.remove(first);
    expect(await scheduled()).to.have.members([first, second]);
    for (const job of [first, second, third]) {
      await scheduled();
      await end(job, 'completed');
    }
    expect(await get(id)).to.include({ state: 'paused', endedAt: null });
    await store.resume(fourth);
    await scheduled();
    await end(fourth, 'completed');
    expect(await get(id)).to.include({ state: 'completed' });
  });

  it('gives the place of a paused disk to another', async () => {
    const { jobs } = await create(3, { maxConcurrentDisks: 1 });
    expect(await scheduled()).to.deep.equal([jobs[0]]);
    await store.pause(jobs[0] as string);
    expect(await scheduled()).to.deep.equal([jobs[1]]);
    await store.resume(jobs[0] as string);
    expect(await scheduled(), 'it waits for its turn').to.deep.equal([jobs[1]]);
  });

  it('keeps the place of a disk whose node died, and of one that is tried again', async () => {
    const { jobs } = await create(3, { maxConcurrentDisks: 1 });
    await scheduled();
    const attempt = await run(jobs[0] as string);
    await store.requeue(jobs[0] as string, attempt, ioError);
    expect(await scheduled()).to.deep.equal([jobs[0]]);
    // Its lease has run out at once.
    const dying = await openStore(redis);
    await mustStart(dying, jobs[0] as string);
    await dying.close();
    await behind.queue.remove(jobs[0] as string);
    expect(await scheduled()).to.deep.equal([jobs[0]]);
  });

  it('answers who waits for a change, and tells of progress now and then', async () => {
    const { id, jobs } = await create(1);
    await scheduled();
    const { version } = await get(id);
    const started = store.batches.waitForChange(id, version, 5000);
    await run(jobs[0] as string);
    expect(await started).to.include({ state: 'active' });
    const moved = store.batches.waitForChange(id, 'current', 5000);
    const timer = setInterval(() => store.report(jobs[0] as string, 1, 'copying', progress(30)), 50);
    expect((await moved)?.vms[0]?.disks[0]?.progress?.percent).to.equal(30);
    clearInterval(timer);
  });

  it('gives the same batch for the same Idempotency-Key, and a conflict for another body', async () => {
    const request = batchRequest([['web', 3]]);
    const first = await store.batches.create(request, { idempotencyKey: 'k' });
    expect(await store.batches.create(request, { idempotencyKey: 'k' })).to.deep.include({
      id: first.id,
      replayed: true,
      disks: 3,
    });
    expect(await store.batches.findCreated(request, 'k')).to.deep.include({ id: first.id });
    expect(await store.batches.findCreated(request, 'other')).to.equal(null);
    const other = batchRequest([['web', 2]]);
    expect(await codeOf(store.batches.create(other, { idempotencyKey: 'k' }))).to.equal('IDEMPOTENCY_CONFLICT');
    expect(await codeOf(store.create(uploadRequest(), { idempotencyKey: 'k' }))).to.equal('IDEMPOTENCY_CONFLICT');
    expect(await store.counts()).to.deep.equal({ default: { queued: 3 } });
  });

  it('lists batches, newest first, by state and pool, page by page', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 5; i++) ids.push((await create(1, { pool: i % 2 === 0 ? 'default' : 'fast' })).id);
    await store.batches.cancel(ids[4] as string);
    const page = await store.batches.list({}, 2);
    expect(page.batches.map((batch) => batch.id)).to.deep.equal([ids[4], ids[3]]);
    const rest = await store.batches.list({}, 10, page.nextCursor as string);
    expect(rest.batches.map((batch) => batch.id)).to.deep.equal([ids[2], ids[1], ids[0]]);
    expect(rest.nextCursor).to.equal(null);
    const named = async (filter: object) => (await store.batches.list(filter, 10)).batches.map((batch) => batch.id);
    expect(await named({ pool: 'fast' })).to.deep.equal([ids[3], ids[1]]);
    expect(await named({ state: 'canceled' })).to.deep.equal([ids[4]]);
  });

  it('accepts a thousand disks at once and reads them in one step', async () => {
    const { id, jobs } = await create(1000, { maxConcurrentDisks: 20 });
    expect(new Set(jobs).size).to.equal(1000);
    expect(await scheduled()).to.deep.equal(jobs.slice(0, 20));
    expect((await get(id)).counts.queued).to.equal(1000);
  });

  it('keeps the disks of a batch as long as the batch, and removes them together', async () => {
    const brief = await openStore(redis, { keepJobs: { seconds: 3600, count: 5 } });
    const kept: string[] = [];
    for (let i = 0; i < 3; i++) {
      const { id } = await create(4);
      await store.batches.cancel(id);
      kept.push(id);
    }
    expect(await brief.trim()).to.equal(8);
    expect((await brief.batches.list({}, 10)).batches.map((batch) => batch.id)).to.deep.equal([kept[2]]);
    const forever = await openStore(redis, { keepJobs: { seconds: 0, count: 5 } });
    expect(await forever.trim()).to.equal(4);
    const left = (await behind.redis.keys('ferry:{job,batch}*')).concat(await behind.redis.keys('ferry:job:*'));
    expect(left).to.deep.equal([]);
    await brief.close();
    await forever.close();
  });

  it('knows what is no batch', async () => {
    const unknown = '01890000-0000-7000-8000-000000000000';
    expect(await store.batches.get(unknown)).to.equal(null);
    expect(await store.batches.waitForChange(unknown, 'current', 10)).to.equal(null);
    for (const call of ['cancel', 'pause', 'resume', 'retry'] as const) {
      expect(await codeOf(store.batches[call](unknown)), call).to.equal('BATCH_NOT_FOUND');
    }
  });
});
