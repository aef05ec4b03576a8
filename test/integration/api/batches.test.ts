import { expect } from 'chai';
import { BatchSummary, BatchView } from '../../../shared/schemas/batch.js';
import { JobView } from '../../../shared/schemas/job.js';
import { FakeNode, failure, progressOf } from './fake-node.js';
import { type Reply, TestApi } from './support.js';

describe('API: batches', () => {
  let api: TestApi;
  let node: FakeNode;

  before(async () => {
    api = await TestApi.start();
    node = new FakeNode(api.redis.url, api.jobs);
  });
  after(async () => {
    await node?.close();
    await api?.stop();
  });

  const until = (id: string, check: (batch: BatchView) => boolean): Promise<BatchView> =>
    api.until(`/v1/batches/${id}`, check);
  const ended = (id: string) => until(id, (batch) => batch.endedAt !== null);
  const post = (path: string) => api.send('POST', path);

  it('takes many VMs at once and shows them to their end', async () => {
    const body = api.batch([
      { name: 'web-1', acts: ['complete', 'complete'] },
      { name: 'web-2', acts: ['complete'] },
    ]);
    const accepted = await api.send('POST', '/v1/batches', { body: { ...body, labels: { wave: '1' } } });
    expect(accepted.status, accepted.text).to.equal(202);
    const { id } = accepted.json;
    const links = { self: `/v1/batches/${id}`, events: `/v1/batches/${id}/events` };
    expect(accepted.json).to.deep.equal({ id, state: 'queued', disks: 3, links });
    expect(accepted.headers.location).to.equal(links.self);
    const batch = await ended(id);
    expect(BatchView.parse(batch), 'the view is what the schema says').to.deep.equal(batch);
    expect(batch).to.deep.include({
      name: 'wave-1',
      state: 'completed',
      pool: 'default',
      labels: { wave: '1' },
      maxConcurrentDisks: 10,
      onFailure: 'continue',
      counts: { queued: 0, active: 0, paused: 0, completed: 3, failed: 0, canceled: 0 },
      links,
    });
    const { totalBytes } = progressOf(100);
    expect(batch.progress).to.include({ totalBytes: 3 * totalBytes, percent: 100, bytesPerSecond: 0, etaSeconds: 0 });
    expect(batch.vms.map(({ name, state, disks }) => [name, state, disks.length])).to.deep.equal([
      ['web-1', 'completed', 2],
      ['web-2', 'completed', 1],
    ]);
    expect(batch.vms[0]?.disks[1]?.target).to.equal(api.path('web-1-1.raw'));
    for (const [earlier, later] of [
      [batch.createdAt, batch.startedAt],
      [batch.startedAt, batch.endedAt],
    ]) {
      expect(Date.parse(later as string)).to.be.at.least(Date.parse(earlier as string));
    }
  });

  it('makes every disk a job that knows its batch and its VM', async () => {
    const id = await api.submitBatch([{ name: 'db-1', acts: ['complete', 'complete'] }]);
    const batch = await ended(id);
    const list = await api.send('GET', `/v1/jobs?batch=${id.toUpperCase()}`);
    expect(list.status, list.text).to.equal(200);
    const jobs = list.json.jobs.map((job: unknown) => JobView.parse(job)) as JobView[];
    const jobIds = batch.vms.flatMap((vm) => vm.disks.map(({ jobId }) => jobId));
    expect(jobs.map((job) => job.id).sort()).to.deep.equal([...jobIds].sort());
    for (const job of jobs) expect(job).to.deep.include({ kind: 'upload', batch: { id, vm: 'db-1' }, pool: 'default' });
    const one = await api.send('GET', `/v1/jobs/${jobIds[0]}`);
    expect(one.json.batch).to.deep.equal({ id, vm: 'db-1' });
    const alone = await api.send('GET', `/v1/jobs/${await api.submit()}`);
    expect(alone.json.batch).to.equal(null);
  });

  it('shows why a disk failed, and queues only that one once more on request', async () => {
    const id = await api.submitBatch([
      { name: 'web-1', acts: ['complete', 'broken'] },
      { name: 'web-2', acts: ['complete'] },
    ]);
    const failed = await ended(id);
    expect(failed.state).to.equal('failed');
    expect(failed.vms.map(({ state }) => state)).to.deep.equal(['failed', 'completed']);
    expect(failed.vms[0]?.disks.map(({ error }) => error)).to.deep.equal([undefined, failure]);
    const retried = await post(`/v1/batches/${id}/retry`);
    expect(retried.status, retried.text).to.equal(202);
    expect(BatchSummary.strict().parse(retried.json)).to.include({ id });
    expect(retried.headers.location).to.equal(`/v1/batches/${id}`);
    const batch = await until(id, ({ state }) => state === 'completed');
    expect(batch.counts).to.include({ completed: 3, failed: 0 });
    const jobs = (await api.send('GET', `/v1/jobs?batch=${id}`)).json.jobs as JobView[];
    expect(jobs.map(({ attempt }) => attempt).sort()).to.deep.equal([1, 1, 2]);
    const again = await post(`/v1/batches/${id}/retry`);
    expect([again.status, again.json.code]).to.deep.equal([409, 'BATCH_STATE_CONFLICT']);
  });

  it('cancels what has not started when a disk fails, where that was asked for', async () => {
    const vms = [
      { name: 'web-1', acts: ['fail'] },
      { name: 'web-2', acts: ['complete', 'complete'] },
    ];
    const id = await api.submitBatch(vms, { onFailure: 'stop', maxConcurrentDisks: 1 });
    const batch = await ended(id);
    expect(batch).to.deep.include({
      state: 'failed',
      counts: { queued: 0, active: 0, paused: 0, completed: 0, failed: 1, canceled: 2 },
    });
    expect(batch.vms.map(({ state }) => state)).to.deep.equal(['failed', 'canceled']);
  });

  it('cancels a batch: what runs and what waits, but not what is completed', async () => {
    const id = await api.submitBatch([{ name: 'web-1', acts: ['complete', 'hold', 'hold', 'hold'] }], {
      maxConcurrentDisks: 2,
    });
    await until(id, ({ counts }) => counts.completed === 1 && counts.active === 2);
    const reply = await api.send('DELETE', `/v1/batches/${id}`);
    expect(reply.status, reply.text).to.equal(202);
    expect(BatchSummary.strict().parse(reply.json).counts).to.include({ completed: 1, queued: 0 });
    const batch = await ended(id);
    expect(batch).to.deep.include({
      state: 'canceled',
      counts: { queued: 0, active: 0, paused: 0, completed: 1, failed: 0, canceled: 3 },
    });
    for (const [method, path] of [
      ['DELETE', `/v1/batches/${id}`],
      ['POST', `/v1/batches/${id}/pause`],
      ['POST', `/v1/batches/${id}/resume`],
    ] as const) {
      const again = await api.send(method, path);
      expect([again.status, again.json.code], `${method} ${path}`).to.deep.equal([409, 'BATCH_STATE_CONFLICT']);
    }
  });

  it('pauses a batch and lets it go on, but not a disk that was paused by itself', async () => {
    const id = await api.submitBatch([{ name: 'web-1', acts: ['hold', 'hold', 'hold'] }], { maxConcurrentDisks: 2 });
    const running = await until(id, ({ counts }) => counts.active === 2);
    const own = running.vms[0]?.disks.find(({ state }) => state === 'active')?.jobId as string;
    expect((await post(`/v1/jobs/${own}/pause`)).status).to.equal(202);
    await api.until(`/v1/jobs/${own}`, (job) => job.state === 'paused');
    const reply = await post(`/v1/batches/${id}/pause`);
    expect(reply.status, reply.text).to.equal(202);
    const paused = await until(id, ({ state }) => state === 'paused');
    expect(paused.counts, 'what waits goes on waiting').to.include({ paused: 2, queued: 1 });
    expect(paused.vms[0]?.state).to.equal('paused');
    expect((await post(`/v1/batches/${id}/resume`)).status).to.equal(202);
    const resumed = await until(id, ({ counts }) => counts.active === 2);
    expect(resumed.vms[0]?.disks.find(({ jobId }) => jobId === own)?.state).to.equal('paused');
    await api.send('DELETE', `/v1/batches/${id}`);
    expect((await ended(id)).state).to.equal('canceled');
  });

  it('answers a repeated submission with the same batch, and never queues it twice', async () => {
    const body = api.batch([{ name: 'web-1', acts: ['complete', 'complete'] }]);
    const headers = { 'idempotency-key': 'wave 1' };
    const replies = await Promise.all(
      Array.from({ length: 10 }, () => api.send('POST', '/v1/batches', { body, headers })),
    );
    expect(replies.map(({ status }) => status)).to.deep.equal(Array(10).fill(202));
    const ids = new Set(replies.map(({ json }) => json.id as string));
    expect(ids.size).to.equal(1);
    const [id] = [...ids] as [string];
    await ended(id);
    const late = await api.send('POST', '/v1/batches', { body, headers });
    expect([late.status, late.json.id, late.json.disks]).to.deep.equal([202, id, 2]);
    expect((await api.send('GET', `/v1/jobs?batch=${id}`)).json.jobs.length).to.equal(2);
    const other = await api.send('POST', '/v1/batches', { body: { ...body, name: 'wave-2' }, headers });
    expect([other.status, other.json.code]).to.deep.equal([409, 'IDEMPOTENCY_CONFLICT']);
  });

  it('does not take the key of a job for one of a batch', async () => {
    const headers = { 'idempotency-key': 'shared' };
    const job = await api.send('POST', '/v1/jobs', { body: api.upload(), headers });
    expect(job.status, job.text).to.equal(202);
    const body = api.batch([{ name: 'web-1', acts: ['complete'] }]);
    const batch = await api.send('POST', '/v1/batches', { body, headers });
    expect([batch.status, batch.json.code]).to.deep.equal([409, 'IDEMPOTENCY_CONFLICT']);
  });

  it('lists with filters and a cursor, newest first, without the disks', async () => {
    const waiting: string[] = [];
    for (let i = 0; i < 5; i++) {
      waiting.unshift(await api.submitBatch([{ name: 'web-1', acts: ['complete'] }], { pool: 'fast' }));
    }
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const query: string = `state=queued&pool=fast&limit=2${cursor === null ? '' : `&cursor=${cursor}`}`;
      const page: Reply = await api.send('GET', `/v1/batches?${query}`);
      expect(page.status, page.text).to.equal(200);
      expect(page.json.batches.length).to.be.at.most(2);
      for (const batch of page.json.batches) seen.push(BatchSummary.strict().parse(batch).id);
      cursor = page.json.nextCursor;
    } while (cursor !== null);
    expect(seen).to.deep.equal(waiting);
    const failed = await api.send('GET', '/v1/batches?state=failed');
    expect(failed.json.batches.map(({ state }: BatchSummary) => state)).to.deep.equal(['failed']);
    const all = await api.send('GET', '/v1/batches');
    expect(all.json.nextCursor).to.equal(null);
    expect(all.json.batches.length).to.be.greaterThan(8);
    expect((await api.send('GET', '/v1/batches?pool=elsewhere')).json).to.deep.equal({ batches: [], nextCursor: null });
  });
});
