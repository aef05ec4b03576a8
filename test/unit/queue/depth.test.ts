/** What the metrics show of the queue: every job counted once, where it is. */
import { expect } from 'chai';
import type { BatchDetail } from '../../../shared/queue/batch-records.js';
import type { JobStore } from '../../../shared/queue/job-store.js';
import { TestRedis } from '../../helpers/redis.js';
import { Behind, batchRequest, mustStart, openStore, result, uploadRequest } from './support.js';

describe('job store: depth of the queue', () => {
  let redis: TestRedis;
  let store: JobStore;
  let behind: Behind;

  before(async () => {
    redis = await TestRedis.start();
  });
  beforeEach(async () => {
    await redis.flush();
    store = await openStore(redis);
    behind = new Behind(redis);
  });
  afterEach(async () => {
    await behind?.close();
    await store?.close();
  });
  after(async () => {
    await redis?.stop();
  });

  const waiting = async (pool = 'default') => (await store.depth()).get(pool)?.waiting;

  /** Until all that may run is in BullMQ. */
  async function settled(): Promise<void> {
    await store.reconcile();
  }

  it('knows the pools of the configuration, and others while they have jobs', async () => {
    expect([...(await store.depth()).keys()]).to.deep.equal(['default', 'fast']);
    const { id } = await store.create(uploadRequest('a', { pool: 'other' }));
    expect((await store.depth()).get('other')).to.deep.equal({
      jobs: { queued: 1 },
      waiting: { node: 1, retry: 0, batch: 0 },
    });
    await store.cancel(id);
    const brief = await openStore(redis, { keepJobs: { seconds: 0, count: 0 } });
    await brief.trim();
    await brief.close();
    expect([...(await store.depth()).keys()]).to.deep.equal(['default', 'fast']);
  });

  it('tells what waits for a node from what waits for another try', async () => {
    const { id } = await store.create(uploadRequest('a'));
    await store.create(uploadRequest('b'));
    expect(await waiting()).to.deep.equal({ node: 2, retry: 0, batch: 0 });
    await behind.queue.remove(id);
    await behind.queue.add('upload', {}, { jobId: id, delay: 60_000 });
    expect(await waiting()).to.deep.equal({ node: 1, retry: 1, batch: 0 });
  });

  it('counts the disks that wait for a place in their batch, whatever happens to them', async () => {
    const { id } = await store.batches.create(batchRequest([['web', 6]], { maxConcurrentDisks: 2 }));
    const batch = (await store.batches.get(id)) as BatchDetail;
    const [first, , third, fourth] = batch.vms.flatMap((vm) => vm.disks.map((disk) => disk.jobId)) as string[];
    await settled();
    expect(await waiting()).to.deep.equal({ node: 2, retry: 0, batch: 4 });
    // Its place in the order changes; that is no second disk.
    await store.patch(fourth as string, { priority: 7 });
    expect(await waiting()).to.include({ batch: 4 });
    await store.pause(third as string);
    expect(await waiting()).to.include({ batch: 3 });
    await store.resume(third as string);
    expect(await waiting()).to.include({ batch: 4 });
    const { attempt } = await mustStart(store, first as string);
    await behind.queue.remove(first as string);
    await store.finish(first as string, attempt, { state: 'completed', result });
    await settled();
    expect(await waiting()).to.deep.equal({ node: 2, retry: 0, batch: 3 });
    await store.batches.pause(id);
    await settled();
    expect(await waiting()).to.deep.equal({ node: 0, retry: 0, batch: 5 });
    await store.batches.resume(id);
    await settled();
    expect(await waiting()).to.deep.equal({ node: 2, retry: 0, batch: 3 });
    await store.batches.cancel(id);
    expect(await waiting()).to.deep.equal({ node: 0, retry: 0, batch: 0 });
  });

  it('says from which node a job was taken over, for that attempt only', async () => {
    const { id } = await store.create(uploadRequest('a'));
    expect(await mustStart(store, id, 'one')).to.include({ lostNode: null, attempt: 1 });
    // Its lease has run out, and BullMQ gives it to the next.
    const second = await mustStart(store, id, 'two');
    expect(second).to.include({ lostNode: 'one', attempt: 2, node: 'two' });
    await store.requeue(id, second.attempt, null);
    expect(await mustStart(store, id, 'three')).to.include({ lostNode: null, attempt: 3 });
    // Or the upkeep finds that BullMQ does not have it any more.
    await behind.queue.remove(id);
    await store.reconcile();
    expect(await mustStart(store, id, 'four')).to.include({ lostNode: 'three', attempt: 4 });
  });
});
