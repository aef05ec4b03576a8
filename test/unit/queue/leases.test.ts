import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import type { Checkpoint } from '../../../shared/queue/checkpoint.js';
import type { JobStore } from '../../../shared/queue/job-store.js';
import { MAX_ABANDONED } from '../../../shared/queue/reconcile.js';
import { TestRedis } from '../../helpers/redis.js';
import { Behind, mustStart, openStore, uploadRequest } from './support.js';

const LEASE_MS = 300;
const print = { id: 'file:1:2:3', name: 'file:/x', size: 100, generation: null };
const checkpoint: Checkpoint = {
  version: 1,
  source: print,
  target: print,
  layout: 'x',
  plan: { strategy: 'no-zero', proof: 'created', reason: '' },
  zeroed: [],
  copied: [0, 50],
};

describe('job store: one writer', () => {
  let redis: TestRedis;
  let store: JobStore;
  let behind: Behind;

  before(async () => {
    redis = await TestRedis.start();
    store = await openStore(redis, { leaseMs: LEASE_MS });
    behind = new Behind(redis);
  });
  beforeEach(() => redis.flush());
  after(async () => {
    await behind?.close();
    await store?.close();
    await redis?.stop();
  });

  const create = async () => (await store.create(uploadRequest())).id;

  it('gives a running job to nobody before its lease has run out, and then at once', async () => {
    const id = await create();
    await mustStart(store, id, 'a');
    expect(await store.start(id, 'b')).to.be.within(1, LEASE_MS);
    await delay(LEASE_MS / 2);
    expect(await store.report(id, 1, 'copying', null), 'renews').to.equal(true);
    await delay(LEASE_MS / 2);
    expect(await store.start(id, 'b')).to.be.within(1, LEASE_MS);
    await delay(LEASE_MS + 20);
    expect(await mustStart(store, id, 'b')).to.include({ attempt: 2, node: 'b' });
    expect(await store.owns(id, 1)).to.equal(false);
    expect(await store.owns(id, 2)).to.equal(true);
    expect(await store.report(id, 1, 'copying', null)).to.equal(false);
    expect(await store.checkpoint(id, 1, checkpoint, true)).to.equal(false);
    expect(await store.hold(id, 1, 'file:/x')).to.deep.equal({ answer: 'lost' });
    expect(await store.suspend(id, 1)).to.equal(false);
  });

  it('does not take a job from its node because BullMQ lost it, while the lease lasts', async () => {
    const id = await create();
    await mustStart(store, id);
    await behind.queue.remove(id);
    await store.reconcile();
    expect(await store.get(id)).to.include({ state: 'active', attempt: 1 });
    await delay(LEASE_MS + 20);
    await store.reconcile();
    expect(await store.get(id)).to.include({ state: 'queued' });
  });

  it('ends the lease when the attempt ends in order: the next one starts at once', async () => {
    const id = await create();
    await mustStart(store, id);
    await store.requeue(id, 1, null);
    expect(await mustStart(store, id)).to.include({ attempt: 2 });
  });

  it('lets one job at a time hold a target, for as long as its lease lasts', async () => {
    const [first, second] = [await create(), await create()];
    await mustStart(store, first);
    await mustStart(store, second);
    expect(await store.hold(first, 1, 'file:/x')).to.deep.equal({ answer: 'held', previous: null });
    expect(await store.hold(second, 1, 'file:/x')).to.deep.equal({ answer: 'busy', holder: first });
    expect(await store.hold(second, 1, 'file:/y')).to.deep.equal({ answer: 'held', previous: null });
    await store.finish(first, 1, { state: 'canceled' });
    expect(await store.hold(second, 1, 'file:/x')).to.deep.equal({ answer: 'held', previous: first });
  });

  it('takes the target from a job whose lease has run out', async () => {
    const [dead, next] = [await create(), await create()];
    await mustStart(store, dead);
    await store.hold(dead, 1, 'file:/x');
    await delay(LEASE_MS + 20);
    await mustStart(store, next);
    expect(await store.hold(next, 1, 'file:/x')).to.deep.equal({ answer: 'held', previous: dead });
  });

  it('does not let a job whose target was taken come back to it', async () => {
    // Symptom: a node that was frozen reported again, which renewed its lease beside that of the other job.
    const [frozen, next] = [await create(), await create()];
    await mustStart(store, frozen);
    await store.hold(frozen, 1, 'file:/x');
    await delay(LEASE_MS + 20);
    await mustStart(store, next);
    await store.hold(next, 1, 'file:/x');
    expect(await store.report(frozen, 1, 'copying', null)).to.equal(false);
    expect(await store.owns(frozen, 1)).to.equal(false);
    expect(await store.finish(frozen, 1, { state: 'completed', result: {} as never })).to.equal(false);
    expect(await mustStart(store, frozen, 'b'), 'its next attempt').to.include({ state: 'active' });
    expect(await store.hold(frozen, 3, 'file:/x')).to.deep.equal({ answer: 'busy', holder: next });
  });

  it('answers the second hold of an attempt as the first: the reply may have been lost', async () => {
    // Symptom: who asked twice heard that nobody else had the target since, and believed its checkpoint.
    const [id, other] = [await create(), await create()];
    await mustStart(store, id);
    expect(await store.hold(id, 1, 'file:/x')).to.deep.equal({ answer: 'held', previous: null });
    expect(await store.hold(id, 1, 'file:/x')).to.deep.equal({ answer: 'held', previous: null });
    await store.checkpoint(id, 1, checkpoint, true);
    await store.requeue(id, 1, null);
    await mustStart(store, other);
    await store.hold(other, 1, 'file:/x');
    await store.finish(other, 1, { state: 'canceled' });
    await mustStart(store, id);
    expect(await store.hold(id, 2, 'file:/x')).to.deep.equal({ answer: 'held', previous: other });
    expect(await store.hold(id, 2, 'file:/x')).to.deep.equal({ answer: 'held', previous: other });
    await store.requeue(id, 2, null);
    await mustStart(store, id);
    expect(await store.hold(id, 3, 'file:/x')).to.deep.equal({ answer: 'held', previous: id });
  });

  it('fails a job that goes on killing nodes, although each attempt records where it begins', async () => {
    // Symptom: the record of the beginning counted as progress, and the job went from node to node for ever.
    const brief = await openStore(redis);
    const { id } = await brief.create(uploadRequest());
    const begin = async () => {
      const { attempt } = await mustStart(brief, id);
      await brief.checkpoint(id, attempt, checkpoint, false);
      return attempt;
    };
    for (let lost = 0; lost < 5; lost += 1) await begin();
    expect(await brief.checkpoint(id, await begin(), { ...checkpoint, copied: [0, 60] }, true)).to.equal(true);
    for (let lost = 0; lost < MAX_ABANDONED; lost += 1) await begin();
    expect(await brief.start(id, 'b')).to.equal(null);
    expect(await brief.get(id)).to.include({ state: 'failed' });
    await brief.close();
  });

  it('keeps a checkpoint over attempts, and forgets it when another job had the target meanwhile', async () => {
    const [id, other] = [await create(), await create()];
    await mustStart(store, id);
    await store.hold(id, 1, 'file:/x');
    expect(await store.checkpoint(id, 1, checkpoint, true)).to.equal(true);
    await store.requeue(id, 1, null);
    const second = await mustStart(store, id);
    expect(second.checkpoint).to.deep.equal(checkpoint);
    expect(await store.hold(id, 2, 'file:/x')).to.deep.equal({ answer: 'held', previous: id });
    expect((await store.get(id))?.checkpoint).to.deep.equal(checkpoint);
    await store.requeue(id, 2, null);

    await mustStart(store, other);
    await store.hold(other, 1, 'file:/x');
    await store.finish(other, 1, { state: 'canceled' });
    await mustStart(store, id);
    // An attempt that dies right after this must not leave a checkpoint that the next one would believe.
    expect(await store.hold(id, 3, 'file:/x')).to.deep.equal({ answer: 'held', previous: other });
    expect((await store.get(id))?.checkpoint).to.equal(null);
  });

  it('keeps the checkpoint of a job that failed or was paused, and drops that of a completed one', async () => {
    const id = await create();
    await mustStart(store, id);
    await store.checkpoint(id, 1, checkpoint, true);
    await store.finish(id, 1, { state: 'failed', error: { code: 'STORAGE_FULL', message: 'full' } });
    await store.retry(id);
    await mustStart(store, id);
    await store.pause(id);
    await store.suspend(id, 2);
    expect(await store.get(id)).to.deep.include({ state: 'paused', checkpoint });
    await store.resume(id);
    await mustStart(store, id);
    await store.finish(id, 3, { state: 'completed', result: {} as never });
    expect(await store.get(id)).to.deep.include({ state: 'completed', checkpoint: null });
  });

  it('goes on when a pause is withdrawn although the attempt has stopped for it', async () => {
    const id = await create();
    await mustStart(store, id);
    await store.pause(id);
    await store.resume(id);
    await store.suspend(id, 1);
    expect(await store.get(id)).to.include({ state: 'queued', pauseRequested: false });
  });

  it('ends a job that was canceled while it was being paused', async () => {
    const id = await create();
    await mustStart(store, id);
    await store.pause(id);
    await store.cancel(id);
    await store.suspend(id, 1);
    expect(await store.get(id)).to.include({ state: 'canceled' });
  });

  it('pauses instead of queueing again what was to be paused', async () => {
    const id = await create();
    await mustStart(store, id);
    await store.pause(id);
    await store.requeue(id, 1, { code: 'STORAGE_IO', message: 'x' });
    expect(await store.get(id)).to.include({ state: 'paused' });
    await store.resume(id);
    await mustStart(store, id);
    await store.pause(id);
    await delay(LEASE_MS + 20);
    expect(await store.start(id, 'b'), 'its node is gone').to.equal(null);
    expect(await store.get(id)).to.include({ state: 'paused' });
  });
});
