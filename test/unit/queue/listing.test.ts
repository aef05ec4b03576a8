import { expect } from 'chai';
import type { JobStore } from '../../../shared/queue/job-store.js';
import type { JobFilter } from '../../../shared/queue/listing.js';
import { TestRedis } from '../../helpers/redis.js';
import { codeOf } from './code-of.js';
import { batchRequest, LONG_LEASE, mustStart, openStore, result, uploadRequest, zeroRequest } from './support.js';

describe('job store: listing and retention', () => {
  let redis: TestRedis;
  let store: JobStore;

  before(async () => {
    redis = await TestRedis.start();
    store = await openStore(redis, LONG_LEASE);
  });
  beforeEach(() => redis.flush());
  after(async () => {
    await store?.close();
    await redis?.stop();
  });

  async function all(filter: JobFilter, limit: number): Promise<string[]> {
    const ids: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await store.list(filter, limit, cursor);
      expect(page.jobs.length).to.be.at.most(limit);
      ids.push(...page.jobs.map((job) => job.id));
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    return ids;
  }

  it('lists newest first, in pages of any size, also while jobs come', async () => {
    const ids: string[] = [];
    for (let i = 0; i < 25; i++) ids.unshift((await store.create(uploadRequest(`j${i}`))).id);
    for (const limit of [1, 7, 25, 100]) expect(await all({}, limit), `limit ${limit}`).to.deep.equal(ids);
    const first = await store.list({}, 10);
    await store.create(uploadRequest('late'));
    const second = await store.list({}, 10, first.nextCursor as string);
    expect(second.jobs.map((job) => job.id)).to.deep.equal(ids.slice(10, 20));
  });

  it('filters by state, kind, pool and batch, alone and together', async () => {
    const ids: Record<string, string> = {};
    const batches: string[] = [];
    for (const pool of ['default', 'fast']) {
      const batch = await store.batches.create(batchRequest([['vm', 1]], { pool }));
      batches.push(batch.id);
      ids[`upload ${pool}`] = (await store.batches.get(batch.id))?.vms[0]?.disks[0]?.jobId as string;
      ids[`zero ${pool}`] = (await store.create(zeroRequest({ pool }))).id;
    }
    await mustStart(store, ids['zero fast'] as string);
    const names = async (filter: JobFilter) => {
      const found = await all(filter, 1);
      return Object.keys(ids).filter((name) => found.includes(ids[name] as string));
    };
    expect(await names({ kind: 'zero' })).to.deep.equal(['zero default', 'zero fast']);
    expect(await names({ pool: 'fast' })).to.deep.equal(['upload fast', 'zero fast']);
    expect(await names({ state: 'active' })).to.deep.equal(['zero fast']);
    expect(await names({ batch: batches[1] })).to.deep.equal(['upload fast']);
    expect(await names({ batch: batches[0], state: 'active' })).to.deep.equal([]);
    expect(await names({ state: 'queued', kind: 'upload', pool: 'fast' })).to.deep.equal(['upload fast']);
    expect(await names({ state: 'completed' })).to.deep.equal([]);
    expect(await names({ state: 'queued', pool: 'nowhere' })).to.deep.equal([]);
  });

  it('refuses a cursor that is not its own', async () => {
    for (const cursor of ['', 'x', 'AAAA', Buffer.from('not-a-uuid').toString('base64url')]) {
      expect(await codeOf(store.list({}, 10, cursor)), cursor).to.equal('BAD_REQUEST');
    }
  });

  it('keeps the newest ended jobs by number, and every job that has not ended', async () => {
    const brief = await openStore(redis, { keepJobs: { seconds: 3600, count: 3 } });
    const queued = (await brief.create(uploadRequest('queued'))).id;
    const ended: string[] = [];
    for (let i = 0; i < 8; i++) {
      const { id } = await brief.create(uploadRequest(`e${i}`));
      await mustStart(brief, id);
      await brief.finish(id, 1, { state: 'completed', result });
      ended.push(id);
    }
    expect(await brief.trim()).to.equal(5);
    expect(await all({ state: 'completed' }, 10)).to.deep.equal(ended.slice(5).reverse());
    expect(await all({ state: 'queued' }, 10)).to.deep.equal([queued]);
    expect(await all({}, 10)).to.have.length(4);
    expect(await brief.counts()).to.deep.equal({ default: { queued: 1, active: 0, completed: 3 } });
    await brief.close();
  });

  it('removes ended jobs by age, with every trace in the indices', async () => {
    const brief = await openStore(redis, { keepJobs: { seconds: 0, count: 1000 } });
    for (let i = 0; i < 250; i++) {
      const { id } = await brief.create(uploadRequest(`e${i}`));
      await brief.cancel(id);
    }
    expect(await brief.trim()).to.equal(250);
    const client = redis.client();
    const left = (await client.keys('ferry:job*')).filter((key) => !key.startsWith('ferry:jobs-'));
    client.disconnect();
    expect(left).to.deep.equal(['ferry:jobs:counts']);
    await brief.close();
  });

  it('never trims a job that was retried', async () => {
    const brief = await openStore(redis, { keepJobs: { seconds: 0, count: 0 } });
    const { id } = await brief.create(uploadRequest());
    await brief.cancel(id);
    await brief.retry(id);
    expect(await brief.trim()).to.equal(0);
    expect(await brief.get(id)).to.include({ state: 'queued' });
    await brief.close();
  });
});
