import { expect } from 'chai';
import type { JobStore } from '../../../shared/queue/job-store.js';
import type { Outcome } from '../../../shared/queue/records.js';
import type { JobError } from '../../../shared/schemas/job.js';
import { TestRedis } from '../../helpers/redis.js';
import { codeOf } from './code-of.js';
import { Behind, mustStart, openStore, progress, result, uploadRequest, zeroRequest } from './support.js';

const ioError: JobError = { code: 'STORAGE_IO', message: 'pread failed', errno: 5, syscall: 'pread' };
const outcomes: Outcome[] = [
  { state: 'completed', result },
  { state: 'failed', error: ioError },
  { state: 'canceled' },
];

describe('job store: the states of a job', () => {
  let redis: TestRedis;
  let store: JobStore;
  let behind: Behind;

  before(async () => {
    redis = await TestRedis.start();
    store = await openStore(redis);
    behind = new Behind(redis);
  });
  after(async () => {
    await behind?.close();
    await store?.close();
    await redis?.stop();
  });

  it('records a new job as queued and schedules it with BullMQ under its own id', async () => {
    const { id, state, kind } = await store.create(uploadRequest('new', { labels: { vm: 'web-1' } }));
    expect({ state, kind }).to.deep.equal({ state: 'queued', kind: 'upload' });
    const record = await store.get(id);
    expect(record?.request).to.deep.equal(uploadRequest('new', { labels: { vm: 'web-1' } }));
    expect(record).to.include({ attempt: 0, node: null, version: 1, cancelRequested: false, startedAt: null });
    const entry = await behind.queue.getJob(id);
    expect(entry?.name).to.equal('upload');
    expect(entry?.opts).to.include({ attempts: 3, removeOnComplete: true, removeOnFail: true });
    expect(await behind.redis.zcard('ferry:outbox')).to.equal(0);
  });

  it('hands out jobs of higher priority first, and equal ones in their order', async () => {
    await behind.queue.drain(true);
    const ids: Record<string, string> = {};
    for (const [name, priority] of Object.entries({ low: 0, first: 500, second: 500, high: 1000 })) {
      ids[name] = (await store.create(uploadRequest(name, { options: { priority } }))).id;
    }
    const order = (await behind.queue.getPrioritized()).map((job) => job.id);
    expect(order).to.deep.equal([ids.high, ids.first, ids.second, ids.low]);
  });

  it('runs from queued over active to each end, and counts versions', async () => {
    for (const outcome of outcomes) {
      const { id } = await store.create(uploadRequest());
      const started = await mustStart(store, id, 'node-7');
      expect(started).to.include({ state: 'active', phase: 'opening', attempt: 1, node: 'node-7', version: 2 });
      expect(await store.report(id, 1, 'copying', progress(40))).to.equal(true);
      expect(await store.get(id)).to.deep.include({ phase: 'copying', progress: progress(40), version: 3 });
      expect(await store.finish(id, 1, outcome)).to.equal(true);
      const ended = await store.get(id);
      expect(ended).to.include({ state: outcome.state, phase: null, version: 4 });
      expect(ended?.result).to.deep.equal(outcome.state === 'completed' ? result : null);
      expect(ended?.error).to.deep.equal(outcome.state === 'failed' ? ioError : null);
      expect(ended?.endedAt).to.match(/^\d{4}-.*Z$/);
    }
  });

  it('keeps how far a job came when its attempt ends, but not how fast it was', async () => {
    const { id } = await store.create(uploadRequest());
    await mustStart(store, id);
    const large = 2 ** 53 - 1;
    const moving = { ...progress(40), totalBytes: large, bytesPerSecond: 12.5, etaSeconds: 7 };
    await store.report(id, 1, 'copying', moving);
    await store.requeue(id, 1, null);
    const rested = { ...moving, bytesPerSecond: 0, etaSeconds: null };
    expect((await store.get(id))?.progress).to.deep.equal(rested);
    await store.report(id, 1, 'copying', moving);
    expect((await mustStart(store, id)).progress).to.deep.equal(rested);
  });

  it('keeps the progress when a report brings none', async () => {
    const { id } = await store.create(uploadRequest());
    await mustStart(store, id);
    await store.report(id, 1, 'copying', progress(40));
    await store.report(id, 1, 'flushing', null);
    expect(await store.get(id)).to.deep.include({ phase: 'flushing', progress: progress(40) });
  });

  it('refuses whatever an older attempt says', async () => {
    const { id } = await store.create(uploadRequest());
    await mustStart(store, id, 'node-1');
    // The first node was thought dead: the job was given to a second one.
    expect(await mustStart(store, id, 'node-2')).to.include({ attempt: 2, node: 'node-2' });
    const before = await store.get(id);
    expect(await store.report(id, 1, 'copying', progress(1))).to.equal(false);
    expect(await store.requeue(id, 1, ioError)).to.equal(false);
    for (const outcome of outcomes) expect(await store.finish(id, 1, outcome)).to.equal(false);
    expect(await store.get(id)).to.deep.equal(before);
    expect(await store.report(id, 2, 'copying', progress(2))).to.equal(true);
  });

  it('refuses attempts that do not exist yet, and jobs that do not exist', async () => {
    const { id } = await store.create(uploadRequest());
    expect(await store.report(id, 0, 'copying', null)).to.equal(false);
    expect(await store.finish(id, 1, { state: 'canceled' })).to.equal(false);
    expect(await store.start('01890000-0000-7000-8000-000000000000', 'node-1')).to.equal(null);
    expect(await store.get('01890000-0000-7000-8000-000000000000')).to.equal(null);
  });

  it('goes back to the queue with the error of the last attempt, and keeps when it was first started', async () => {
    const { id } = await store.create(uploadRequest());
    const { startedAt } = await mustStart(store, id);
    expect(await store.requeue(id, 1, ioError)).to.equal(true);
    expect(await store.get(id)).to.deep.include({ state: 'queued', phase: null, error: ioError, attempt: 1 });
    expect(await store.report(id, 1, 'copying', null), 'a queued job belongs to nobody').to.equal(false);
    expect(await mustStart(store, id)).to.deep.include({ attempt: 2, startedAt, progress: null });
    await store.finish(id, 2, { state: 'completed', result });
    expect((await store.get(id))?.error).to.equal(null);
  });

  it('answers a repeated requeue or finish as the first: its reply may have been lost', async () => {
    const { id } = await store.create(uploadRequest());
    await mustStart(store, id);
    expect([await store.requeue(id, 1, null), await store.requeue(id, 1, null)]).to.deep.equal([true, true]);
    await mustStart(store, id);
    const done: Outcome = { state: 'completed', result };
    expect([await store.finish(id, 2, done), await store.finish(id, 2, done)]).to.deep.equal([true, true]);
    expect(await store.finish(id, 2, { state: 'failed', error: ioError }), 'another end').to.equal(false);
    expect(await store.start(id, 'node-1'), 'an ended job').to.equal(null);
  });

  it('cancels a waiting job at once and takes it from BullMQ', async () => {
    const { id } = await store.create(zeroRequest());
    expect(await store.cancel(id)).to.include({ state: 'canceled', cancelRequested: true });
    expect(await behind.queue.getJob(id)).to.equal(undefined);
    expect(await store.start(id, 'node-1')).to.equal(null);
    expect(await codeOf(store.cancel(id))).to.equal('JOB_STATE_CONFLICT');
    expect(await codeOf(store.cancel('01890000-0000-7000-8000-000000000000'))).to.equal('JOB_NOT_FOUND');
  });

  it('ends a running job as canceled at once when no worker holds it any more', async () => {
    const { id } = await store.create(uploadRequest());
    await mustStart(store, id);
    expect(await store.cancel(id)).to.include({ state: 'canceled', cancelRequested: true });
    expect(await store.report(id, 1, 'copying', null)).to.equal(false);
  });

  it('cancels instead of queueing again what was to be canceled', async () => {
    const { id } = await store.create(uploadRequest());
    await mustStart(store, id);
    await behind.redis.hset(`ferry:job:${id}`, 'cancelRequested', '1');
    expect(await store.requeue(id, 1, ioError)).to.equal(true);
    expect(await store.get(id)).to.include({ state: 'canceled', error: null });
  });

  it('queues a failed or canceled job once more, with a clean record and a growing attempt', async () => {
    const { id } = await store.create(uploadRequest());
    await mustStart(store, id);
    await store.report(id, 1, 'copying', progress(10));
    await behind.queue.remove(id);
    await store.finish(id, 1, { state: 'failed', error: ioError });
    const again = await store.retry(id);
    expect(again).to.include({ state: 'queued', error: null, result: null, progress: null, attempt: 1, endedAt: null });
    expect(again.startedAt).to.equal(null);
    expect(await behind.queue.getJobState(id)).to.equal('prioritized');
    expect(await codeOf(store.retry(id)), 'a queued job').to.equal('JOB_STATE_CONFLICT');
    expect(await mustStart(store, id)).to.include({ attempt: 2 });
    expect(await codeOf(store.retry(id)), 'an active job').to.equal('JOB_STATE_CONFLICT');
    expect(await codeOf(store.retry('01890000-0000-7000-8000-000000000000'))).to.equal('JOB_NOT_FOUND');
  });

  it('ends a job that takes down node after node', async () => {
    const { id } = await store.create(uploadRequest());
    let starts = 0;
    while ((await store.start(id, `node-${starts}`)) !== null && starts < 100) starts++;
    expect(starts).to.equal(11);
    expect(await store.get(id)).to.deep.include({
      state: 'failed',
      error: { code: 'INTERRUPTED', message: 'the node that ran the job is gone' },
    });
  });

  it('ends it also when each attempt says where it begins, but not while each makes something durable', async () => {
    // Symptom: a job that killed its node at the same byte each time was run for ever.
    const print = { id: 'file:1:2:3', name: 'file:/x', size: 100, generation: null };
    const plan = { strategy: 'no-zero', proof: 'created', reason: '' } as const;
    const from = { version: 1, source: print, target: print, layout: 'x', plan, zeroed: [] } as const;
    const { id } = await store.create(uploadRequest());
    for (let attempt = 1; attempt <= 20; attempt++) {
      await mustStart(store, id);
      await store.checkpoint(id, attempt, { ...from, copied: [0, attempt] }, true);
    }
    let stuck = 0;
    while ((await store.start(id, 'node')) !== null && stuck < 100) {
      stuck++;
      await store.checkpoint(id, 20 + stuck, { ...from, copied: [0, 20] }, false);
    }
    expect(stuck).to.equal(10);
    expect((await store.get(id))?.error?.code).to.equal('INTERRUPTED');
  });

  it('counts by pool and state', async () => {
    await redis.flush();
    const { id } = await store.create(uploadRequest('c', { pool: 'fast' }));
    await store.create(uploadRequest('d', { pool: 'fast' }));
    await store.create(uploadRequest('e'));
    await mustStart(store, id);
    expect(await store.counts()).to.deep.equal({ fast: { queued: 1, active: 1 }, default: { queued: 1 } });
  });
});
