import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import type { JobStore } from '../../../shared/queue/job-store.js';
import { TestRedis } from '../../helpers/redis.js';
import { Behind, mustStart, openStore, progress, result, uploadRequest } from './support.js';

describe('job store: hearing of changes', () => {
  let redis: TestRedis;
  let store: JobStore;
  let other: JobStore;

  before(async () => {
    redis = await TestRedis.start();
    store = await openStore(redis);
    other = await openStore(redis);
  });
  afterEach(() => {
    expect(store.watched, 'watches that nobody ended').to.equal(0);
  });
  after(async () => {
    await store?.close();
    await other?.close();
    await redis?.stop();
  });

  it('answers the next change, made by another process', async () => {
    const { id } = await store.create(uploadRequest());
    const change = store.waitForChange(id, 'current', 5000);
    await delay(20);
    await mustStart(other, id);
    expect(await change).to.include({ state: 'active', version: 2 });
  });

  it('answers at once when the version asked for has passed, or the job has ended', async () => {
    const { id } = await store.create(uploadRequest());
    await mustStart(store, id);
    expect(await store.waitForChange(id, 1, 60_000)).to.include({ version: 2 });
    await store.finish(id, 1, { state: 'completed', result });
    expect(await store.waitForChange(id, 'current', 60_000)).to.include({ state: 'completed' });
    expect(await store.waitForChange('01890000-0000-7000-8000-000000000000', 'current', 60_000)).to.equal(null);
  });

  it('answers the unchanged job when the time is over or the caller gives up', async () => {
    const { id } = await store.create(uploadRequest());
    const startedAt = performance.now();
    expect(await store.waitForChange(id, 'current', 100)).to.include({ version: 1 });
    expect(performance.now() - startedAt).to.be.within(80, 2000);
    const giveUp = new AbortController();
    const waiting = store.waitForChange(id, 'current', 60_000, giveUp.signal);
    await delay(20);
    giveUp.abort();
    expect(await waiting).to.include({ version: 1 });
  });

  it('misses no change between reading and subscribing', async () => {
    // The change is made at ever other moments of the first milliseconds of the wait.
    for (let i = 0; i < 100; i++) {
      const { id } = await store.create(uploadRequest());
      const wait = store.waitForChange(id, 'current', 5000);
      if (i % 3 === 1) await new Promise(setImmediate);
      if (i % 3 === 2) await delay(1);
      await other.cancel(id);
      expect(await wait, `round ${i}`).to.include({ state: 'canceled' });
    }
  });

  it('shows every state to someone who always waits from the version seen last', async () => {
    const { id } = await store.create(uploadRequest());
    const work = (async () => {
      await mustStart(other, id);
      for (let percent = 1; percent <= 100; percent++) await other.report(id, 1, 'copying', progress(percent));
      await other.finish(id, 1, { state: 'completed', result });
    })();
    let version = 1;
    for (;;) {
      const record = await store.waitForChange(id, version, 5000);
      expect(record?.version).to.be.greaterThan(version);
      version = record?.version as number;
      if (record?.state === 'completed') break;
    }
    await work;
    expect(version).to.equal(103);
  });

  it('shares one subscription among many who wait for one job', async () => {
    const { id } = await store.create(uploadRequest());
    const waits = Array.from({ length: 200 }, () => store.waitForChange(id, 'current', 5000));
    await delay(50);
    expect(store.watched).to.equal(1);
    await other.cancel(id);
    for (const record of await Promise.all(waits)) expect(record).to.include({ state: 'canceled' });
  });

  it('calls back when a running job is to be canceled', async () => {
    const { id } = await startHeld();
    const canceled = cancelWanted(id);
    await delay(20);
    await requestCancel(id);
    await canceled;
  });

  it('says at once what was asked before, and nothing after unsubscribe', async () => {
    const { id } = await startHeld();
    await requestCancel(id);
    await cancelWanted(id);
    let calls = 0;
    const unsubscribe = store.onWishes(id, () => calls++);
    unsubscribe();
    await other.report(id, 1, 'copying', null);
    await delay(100);
    expect(calls).to.equal(0);
  });

  it('tells a running job of a pause, of its withdrawal, and of another bandwidth', async () => {
    const { id } = await startHeld();
    const heard: string[] = [];
    let next = () => {};
    const unsubscribe = store.onWishes(id, ({ pause, bandwidthBytesPerSecond }) => {
      heard.push(`${pause} ${bandwidthBytesPerSecond}`);
      next();
    });
    const until = async (wanted: string) => {
      while (heard.at(-1) !== wanted) await new Promise<void>((resolve) => (next = resolve));
    };
    await until('false null');
    await other.pause(id);
    await until('true null');
    await other.resume(id);
    await until('false null');
    await other.patch(id, { bandwidthBytesPerSecond: 1_000_000 });
    await until('false 1000000');
    await other.patch(id, { bandwidthBytesPerSecond: null });
    await until('false null');
    unsubscribe();
  });

  it('hears of a cancel that was asked while redis-server restarted', async function () {
    this.timeout(20_000);
    const { id } = await startHeld();
    const canceled = cancelWanted(id);
    const wait = store.waitForChange(id, 'current', 15_000);
    await delay(50);
    await redis.kill();
    await redis.start();
    // As the cancel script does. Most often nobody but us has reconnected yet, and what is published reaches nobody.
    const client = redis.client();
    await once(client, 'ready');
    await client.hset(`ferry:job:${id}`, 'cancelRequested', '1');
    const version = await client.hincrby(`ferry:job:${id}`, 'version', 1);
    await client.publish(`ferry:change:${id}`, String(version));
    client.disconnect();
    await canceled;
    expect(await wait).to.include({ cancelRequested: true });
  });

  async function cancelWanted(id: string): Promise<void> {
    let unsubscribe = () => {};
    await new Promise<void>((resolve) => {
      unsubscribe = store.onWishes(id, ({ cancel }) => cancel && resolve());
    });
    unsubscribe();
  }

  async function startHeld(): Promise<{ id: string }> {
    const created = await store.create(uploadRequest());
    await mustStart(store, created.id);
    return created;
  }

  /** As `cancel`, while a worker holds the BullMQ entry: here nobody does, so the node would count as lost. */
  async function requestCancel(id: string): Promise<void> {
    const behind = new Behind(redis);
    await behind.redis.hset(`ferry:job:${id}`, 'cancelRequested', '1');
    await behind.redis.hincrby(`ferry:job:${id}`, 'version', 1);
    await behind.redis.publish(`ferry:change:${id}`, '0');
    await behind.close();
  }
});
