import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { BatchView } from '../../../shared/schemas/batch.js';
import { progressOf, result } from './fake-node.js';
import { next, readEvents } from './sse.js';
import { TestApi } from './support.js';

/** A pool without a node: the test is the node. */
describe('API: long poll and events of a batch', () => {
  let api: TestApi;

  before(async () => {
    api = await TestApi.start();
  });
  afterEach(async () => {
    for (let i = 0; api.jobs.watched > 0 && i < 100; i++) await delay(10);
    expect(api.jobs.watched, 'watches left behind').to.equal(0);
  });
  after(async () => {
    await api?.stop();
  });

  const watched = async () => {
    while (api.jobs.watched === 0) await delay(5);
  };

  /** A batch of two disks. @returns its id and those of its jobs */
  async function submitted(): Promise<{ id: string; first: string; second: string }> {
    const id = await api.submitBatch([{ name: 'web-1', acts: ['hold', 'hold'] }], { pool: 'fast' });
    const { vms } = (await api.send('GET', `/v1/batches/${id}`)).json;
    return { id, first: vms[0].disks[0].jobId, second: vms[0].disks[1].jobId };
  }

  it('answers a long poll at the next change of any disk', async () => {
    const { id, first, second } = await submitted();
    await api.jobs.start(first, 'test');
    const poll = api.send('GET', `/v1/batches/${id}?wait=30`);
    await watched();
    await delay(50);
    await api.jobs.start(second, 'test');
    const { status, json } = await poll;
    expect([status, json.state, json.counts.active]).to.deep.equal([200, 'active', 2]);
  });

  it('tells changes that follow each other quickly in one answer', async () => {
    const { id, first, second } = await submitted();
    const poll = api.send('GET', `/v1/batches/${id}?wait=30`);
    await watched();
    await delay(50);
    await api.jobs.start(first, 'test');
    await api.jobs.finish(first, 1, { state: 'completed', result });
    await api.jobs.start(second, 'test');
    expect((await poll).json.counts).to.include({ queued: 0, active: 1, completed: 1 });
  });

  it('answers soon when it changed since the version in If-None-Match, and at once when it has ended', async () => {
    const { id, first } = await submitted();
    const seen = await api.send('GET', `/v1/batches/${id}`);
    const known = { headers: { 'if-none-match': seen.headers.etag as string } };
    const same = await api.send('GET', `/v1/batches/${id}`, known);
    expect([same.status, same.text]).to.deep.equal([304, '']);
    await api.jobs.start(first, 'test');
    const changed = await api.send('GET', `/v1/batches/${id}?wait=30`, known);
    expect([changed.status, changed.json.state]).to.deep.equal([200, 'active']);
    await api.jobs.finish(first, 1, { state: 'completed', result });
    await api.send('DELETE', `/v1/batches/${id}`);
    const ended = await api.send('GET', `/v1/batches/${id}?wait=30`);
    expect([ended.json.state, ended.json.counts.completed]).to.deep.equal(['canceled', 1]);
  });

  it('answers the unchanged batch when the time is over', async () => {
    const { id } = await submitted();
    const startedAt = performance.now();
    const reply = await api.send('GET', `/v1/batches/${id}?wait=1`);
    expect(performance.now() - startedAt).to.be.within(900, 3000);
    expect([reply.status, reply.json.state]).to.deep.equal([200, 'queued']);
  });

  it('streams the batch from now to its end, then ends', async () => {
    const { id, first, second } = await submitted();
    const stream = await api.open('GET', `/v1/batches/${id}/events`, { accept: 'text/event-stream' });
    expect(stream.statusCode).to.equal(200);
    expect(stream.headers['content-type']).to.match(/^text\/event-stream/);
    const events = readEvents(stream);
    const start = await next(events);
    expect(start.event).to.equal('state');
    expect(BatchView.parse(start.data)).to.deep.equal(start.data);
    await api.jobs.start(first, 'test');
    expect(await next(events)).to.nested.include({ event: 'state', 'data.state': 'active', 'data.counts.active': 1 });
    await api.jobs.start(second, 'test');
    expect(await next(events)).to.nested.include({ event: 'state', 'data.counts.active': 2 });
    // As a node does: progress is told to the watchers of a batch now and then only.
    const reports = setInterval(() => api.jobs.report(first, 1, 'copying', progressOf(60)), 200);
    const { event, data } = await next(events);
    clearInterval(reports);
    expect(event).to.equal('progress');
    expect(Object.keys(data).sort()).to.deep.equal(['counts', 'id', 'progress', 'state']);
    expect(data).to.deep.include({ id, state: 'active' });
    expect(data.progress.percent).to.equal(30);
    await api.jobs.finish(first, 1, { state: 'completed', result });
    let now = await next(events);
    while (now.event === 'progress') now = await next(events);
    expect(now).to.nested.include({ event: 'state', 'data.counts.completed': 1 });
    await api.jobs.finish(second, 1, { state: 'failed', error: { code: 'STORAGE_IO', message: 'pread failed' } });
    const last = await next(events);
    expect(last).to.nested.include({ event: 'state', 'data.state': 'failed', 'data.vms[0].state': 'failed' });
    expect((await events.next()).done, 'the stream ends').to.equal(true);
    const again = await api.send('GET', `/v1/batches/${id}/events`, { headers: { 'last-event-id': last.id } });
    expect(again.status, 'EventSource stops on 204').to.equal(204);
    const late = await api.send('GET', `/v1/batches/${id}/events`);
    expect(late.text.match(/^event:.*$/gm)).to.deep.equal(['event:state']);
  });

  it('sends at most two events a second, however much happens, and leaves nothing out at the end', async () => {
    const acts = Array<string>(40).fill('hold');
    const id = await api.submitBatch([{ name: 'many', acts }], { pool: 'fast', maxConcurrentDisks: 40 });
    const batch = (await api.send('GET', `/v1/batches/${id}`)).json as BatchView;
    const events = readEvents(await api.open('GET', `/v1/batches/${id}/events`));
    const startedAt = performance.now();
    await next(events);
    let seen = 1;
    const reading = (async () => {
      let last = null;
      for await (const event of events) {
        seen += 1;
        last = event;
      }
      return last;
    })();
    for (const { jobId } of batch.vms[0]?.disks ?? []) {
      await api.jobs.start(jobId, 'test');
      await api.jobs.report(jobId, 1, 'copying', progressOf(50));
      await delay(20);
      await api.jobs.finish(jobId, 1, { state: 'completed', result });
    }
    const last = await reading;
    const seconds = (performance.now() - startedAt) / 1000;
    expect(last?.data).to.nested.include({ state: 'completed', 'counts.completed': 40, 'progress.percent': 100 });
    expect(seen)
      .to.be.at.least(2)
      .and.at.most(Math.ceil(seconds * 2) + 1);
  });

  it('refuses events to who does not accept them', async () => {
    const { id } = await submitted();
    const reply = await api.send('GET', `/v1/batches/${id}/events`, { headers: { accept: 'application/json' } });
    expect([reply.status, reply.json.code]).to.deep.equal([406, 'NOT_ACCEPTABLE']);
    const head = await api.send('HEAD', `/v1/batches/${id}/events`);
    expect([head.status, head.text]).to.deep.equal([200, '']);
  });

  it('forgets clients that leave their stream or their long poll', async () => {
    const { id } = await submitted();
    const stream = await api.open('GET', `/v1/batches/${id}/events`);
    await next(readEvents(stream));
    await watched();
    stream.destroy();
    const { request } = await import('node:http');
    const { hostname, port } = new URL(api.api.url);
    const gone = request({ host: hostname, port, path: `/v1/batches/${id}?wait=60`, agent: false }).end();
    gone.on('error', () => {});
    await delay(100);
    gone.destroy();
  });

  it('ends long polls and streams at once when it closes', async () => {
    const other = await TestApi.start();
    const id = await other.submitBatch([{ name: 'web-1', acts: ['hold'] }], { pool: 'fast' });
    const poll = other.send('GET', `/v1/batches/${id}?wait=60`);
    const events = readEvents(await other.open('GET', `/v1/batches/${id}/events`));
    await next(events);
    while (other.jobs.watched === 0) await delay(5);
    await delay(50);
    const startedAt = performance.now();
    await other.api.close();
    expect(performance.now() - startedAt).to.be.below(2000);
    expect((await poll).json.state).to.equal('queued');
    expect((await events.next()).done).to.equal(true);
    await other.stop();
  });
});
