/** Jobs that wait for a client: where it is served, and what it says when it is done. */
import { expect } from 'chai';
import type { JobStore } from '../../../shared/queue/job-store.js';
import type { Wishes } from '../../../shared/queue/records.js';
import { JobRequest } from '../../../shared/schemas/job.js';
import { TestRedis } from '../../helpers/redis.js';
import { codeOf } from './code-of.js';
import { LONG_LEASE, mustStart, openStore, uploadRequest } from './support.js';

const OFFER = { url: 'http://node:54322/images/1', local: null };
const checksum = { algorithm: 'sha256', blockSize: 4096, checksum: 'aa' };
const download = JobRequest.parse({ kind: 'download', source: { type: 'file', path: '/srv/a.img' } });

describe('job store: jobs with a client', () => {
  let redis: TestRedis;
  let store: JobStore;

  before(async () => {
    redis = await TestRedis.start();
    store = await openStore(redis, LONG_LEASE);
  });
  after(async () => {
    await store?.close();
    await redis?.stop();
  });

  async function create(request = uploadRequest('a', { source: { type: 'client', size: 4096 } })): Promise<string> {
    return (await store.create(request)).id;
  }

  async function offered(request?: JobRequest): Promise<string> {
    const id = await create(request);
    await mustStart(store, id);
    expect(await store.offer(id, 1, OFFER)).to.equal(true);
    return id;
  }

  /** The lease of the node runs out, and another node takes the job. */
  async function takeOver(id: string) {
    const client = redis.client();
    await client.hset(`ferry:job:${id}`, 'lease', 0);
    client.disconnect();
    return await mustStart(store, id, 'node-2');
  }

  it('show where the client is served, under the attempt that serves it only', async () => {
    const id = await offered();
    expect((await store.get(id))?.offer).to.deep.equal(OFFER);
    const again = await takeOver(id);
    expect(again).to.include({ attempt: 2, offer: null });
    expect(await store.offer(id, 1, OFFER), 'of an attempt that is over').to.equal(false);
    expect((await store.get(id))?.offer).to.equal(null);
  });

  for (const [end, over] of [
    ['a pause', (id: string) => store.suspend(id, 1)],
    ['a requeue', (id: string) => store.requeue(id, 1, null)],
    ['the end', (id: string) => store.finish(id, 1, { state: 'canceled' })],
  ] as const) {
    it(`serve nobody after ${end}`, async () => {
      const id = await offered();
      if (end === 'a pause') await store.pause(id);
      expect(await over(id)).to.equal(true);
      expect((await store.get(id))?.offer).to.equal(null);
    });
  }

  it('are finalized once they serve their client, and not before or after', async () => {
    const id = await create();
    expect(await codeOf(store.finalize(id, {}))).to.equal('JOB_STATE_CONFLICT');
    await mustStart(store, id);
    expect(await codeOf(store.finalize(id, {})), 'not offered yet').to.equal('JOB_STATE_CONFLICT');
    await store.offer(id, 1, OFFER);
    expect(await store.finalize(id, { checksum })).to.deep.include({ finalize: { checksum } });
    await store.finish(id, 1, { state: 'canceled' });
    expect(await codeOf(store.finalize(id, { checksum }))).to.equal('JOB_STATE_CONFLICT');
    expect((await store.get(id))?.finalize, 'a retry begins without it').to.equal(null);
  });

  it('may be finalized again in the same words, but not with another checksum: that would not be compared', async () => {
    const id = await offered();
    await store.finalize(id, {});
    const { version } = await store.finalize(id, {});
    expect(version, 'nothing changed').to.equal((await store.get(id))?.version);
    expect(await codeOf(store.finalize(id, { checksum }))).to.equal('JOB_STATE_CONFLICT');
    expect((await store.get(id))?.finalize).to.deep.equal({});
  });

  it('take no checksum for a download, and no word of a client that they do not have', async () => {
    const id = await offered(download);
    expect(await codeOf(store.finalize(id, { checksum }))).to.equal('NOT_SUPPORTED');
    expect((await store.finalize(id, {})).finalize).to.deep.equal({});
    const plain = await create(uploadRequest('plain'));
    await mustStart(store, plain);
    expect(await codeOf(store.finalize(plain, {}))).to.equal('JOB_STATE_CONFLICT');
  });

  it('keep what the client said when their node dies, until the next attempt says that it is void', async () => {
    const id = await offered();
    await store.finalize(id, { checksum });
    expect((await takeOver(id)).finalize).to.deep.equal({ checksum });
    expect(await store.unfinalize(id, 1), 'the dead node').to.equal(false);
    expect(await store.unfinalize(id, 2)).to.equal(true);
    expect((await store.get(id))?.finalize).to.equal(null);
  });

  it('tell their node what the client said, and to which attempt', async () => {
    const id = await offered();
    await store.finalize(id, {});
    await takeOver(id);
    expect(await heard(id, ({ finalize }) => finalize !== null)).to.deep.include({ finalize: {}, finalizedIn: 1 });
    await store.unfinalize(id, 2);
    await store.offer(id, 2, OFFER);
    await store.finalize(id, { checksum });
    expect(await heard(id, ({ finalize }) => finalize?.checksum !== undefined)).to.include({ finalizedIn: 2 });
  });

  async function heard(id: string, isIt: (wishes: Wishes) => boolean): Promise<Wishes> {
    let unsubscribe = () => {};
    try {
      return await new Promise<Wishes>((resolve) => {
        unsubscribe = store.onWishes(id, (wishes) => {
          if (isIt(wishes)) resolve(wishes);
        });
      });
    } finally {
      unsubscribe();
    }
  }
});
