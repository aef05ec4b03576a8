import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { hasClient } from '../../../shared/schemas/job.js';
import { FakeNode } from './fake-node.js';
import { TestApi } from './support.js';

describe('API: when things fail', () => {
  let api: TestApi;

  before(async () => {
    api = await TestApi.start();
  });
  after(async () => {
    await api?.stop();
  });

  it('answers 503 quickly while Redis is away, stays alive, and recovers with every job', async function () {
    this.timeout(40_000);
    const id = await api.submit();
    const disks = [{ name: 'web-1', acts: ['complete'] }];
    const batch = await api.submitBatch(disks);
    await api.redis.kill();
    for (const [method, path, body] of [
      ['POST', '/v1/jobs', api.upload()],
      ['POST', '/v1/jobs?dryRun=true', api.upload()],
      ['GET', '/v1/jobs', undefined],
      ['GET', `/v1/jobs/${id}?wait=30`, undefined],
      ['GET', `/v1/jobs/${id}/events`, undefined],
      ['DELETE', `/v1/jobs/${id}`, undefined],
      ['POST', `/v1/jobs/${id}/pause`, undefined],
      ['PATCH', `/v1/jobs/${id}`, { priority: 1 }],
      ['POST', '/v1/batches', api.batch(disks)],
      ['GET', '/v1/batches', undefined],
      ['GET', `/v1/batches/${batch}?wait=30`, undefined],
      ['GET', `/v1/batches/${batch}/events`, undefined],
      ['DELETE', `/v1/batches/${batch}`, undefined],
      ['POST', `/v1/batches/${batch}/resume`, undefined],
      ['GET', '/v1/nodes', undefined],
      ['GET', '/readyz', undefined],
    ] as const) {
      const startedAt = performance.now();
      const reply = await api.send(method, path, { body });
      expect([reply.status, reply.json.code], `${method} ${path}`).to.deep.equal([503, 'QUEUE_UNAVAILABLE']);
      expect(reply.headers['retry-after']).to.equal('1');
      expect(reply.text, 'no address of the server').not.to.match(/redis|sock|ECONN/);
      expect(performance.now() - startedAt, `${method} ${path}`).to.be.below(3000);
    }
    expect((await api.send('GET', '/healthz')).status).to.equal(200);
    await api.redis.start();
    while ((await api.send('GET', '/readyz')).status !== 200) await delay(20);
    const node = new FakeNode(api.redis.url, api.jobs);
    for (const path of [`/v1/jobs/${id}`, `/v1/batches/${batch}`]) {
      await api.until(path, ({ state }) => state === 'completed');
    }
    await node.close();
  });

  it('tells a client of its job although Redis goes away before a node has taken it', async function () {
    this.timeout(20_000);
    const body = { ...api.upload(), source: { type: 'client', size: 4096 } };
    const answer = api.send('POST', '/v1/jobs', { body });
    while ((await api.jobs.list({ state: 'queued' }, 10)).jobs.every(({ request }) => !hasClient(request)))
      await delay(5);
    await api.redis.kill();
    const { status, json } = await answer;
    await api.redis.start();
    expect(status).to.equal(202);
    while ((await api.send('GET', '/readyz')).status !== 200) await delay(20);
    expect((await api.send('GET', `/v1/jobs/${json.id}`)).json).to.include({ state: 'queued', upload: null });
  });

  it('tells nothing of an error that it did not expect', async () => {
    const { list } = api.jobs;
    Object.defineProperty(api.jobs, 'list', {
      configurable: true,
      value: async () => {
        throw new TypeError('secret of /srv/private is undefined');
      },
    });
    const reply = await api.send('GET', '/v1/jobs');
    Object.defineProperty(api.jobs, 'list', { configurable: true, value: list });
    expect([reply.status, reply.json.code]).to.deep.equal([500, 'INTERNAL']);
    for (const word of ['secret', '/srv', 'TypeError', '.js']) expect(reply.text).not.to.include(word);
    expect(Object.keys(reply.json).sort()).to.deep.equal(['code', 'detail', 'instance', 'status', 'title', 'type']);
  });
});
