import { expect } from 'chai';
import type { JobStore } from '../../../shared/queue/job-store.js';
import { TestRedis } from '../../helpers/redis.js';
import { codeOf } from './code-of.js';
import { Behind, mustStart, openStore, uploadRequest } from './support.js';

describe('job store: Idempotency-Key', () => {
  let redis: TestRedis;
  let store: JobStore;
  let other: JobStore;

  before(async () => {
    redis = await TestRedis.start();
    store = await openStore(redis);
    other = await openStore(redis);
  });
  after(async () => {
    await store?.close();
    await other?.close();
    await redis?.stop();
  });

  it('makes one job of 50 requests at once, from two processes', async () => {
    const idempotencyKey = 'race';
    const created = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        (i % 2 === 0 ? store : other).create(uploadRequest('race'), { idempotencyKey }),
      ),
    );
    expect(new Set(created.map(({ id }) => id)).size).to.equal(1);
    expect(created.filter(({ replayed }) => !replayed)).to.have.length(1);
    expect((await store.list({}, 100)).jobs).to.have.length(1);
    const behind = new Behind(redis);
    expect(await behind.queue.getJobCountByTypes('prioritized', 'waiting', 'active', 'delayed')).to.equal(1);
    await behind.close();
  });

  it('does not mind the order of fields, and tells the state of now', async () => {
    const { id } = await store.create(uploadRequest('order', { labels: { a: '1', b: '2' } }), { idempotencyKey: 'o' });
    await mustStart(store, id);
    const again = await other.create(uploadRequest('order', { labels: { b: '2', a: '1' } }), { idempotencyKey: 'o' });
    expect(again).to.deep.equal({ id, kind: 'upload', state: 'active', replayed: true });
    expect(await store.findCreated(uploadRequest('order', { labels: { a: '1', b: '2' } }), 'o')).to.include({ id });
    expect(await store.findCreated(uploadRequest('order'), 'never used')).to.equal(null);
  });

  it('refuses the key with another request', async () => {
    await store.create(uploadRequest('one'), { idempotencyKey: 'k' });
    expect(await codeOf(store.create(uploadRequest('two'), { idempotencyKey: 'k' }))).to.equal('IDEMPOTENCY_CONFLICT');
    expect(await codeOf(store.findCreated(uploadRequest('two'), 'k'))).to.equal('IDEMPOTENCY_CONFLICT');
  });

  it('remembers the key for a day when the job is trimmed earlier', async () => {
    const brief = await openStore(redis, { keepJobs: { seconds: 0, count: 0 } });
    const { id } = await brief.create(uploadRequest('brief'), { idempotencyKey: 'brief' });
    await brief.cancel(id);
    await brief.trim();
    expect(await brief.get(id)).to.equal(null);
    const again = await brief.create(uploadRequest('brief'), { idempotencyKey: 'brief' });
    expect(again).to.deep.equal({ id, kind: 'upload', state: 'canceled', replayed: true });
    const client = redis.client();
    const [key] = (await client.keys('ferry:idem:*')).filter(Boolean);
    const lives = await Promise.all((await client.keys('ferry:idem:*')).map((name) => client.pttl(name)));
    client.disconnect();
    expect(key).to.be.a('string');
    const limited = lives.filter((ms) => ms > 0);
    expect(limited).to.have.length(1);
    expect(limited[0]).to.be.within(23.9 * 3600_000, 24 * 3600_000);
    await brief.close();
  });
});
