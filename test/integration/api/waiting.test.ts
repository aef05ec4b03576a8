import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import { FakeNode, progressOf, result } from './fake-node.js';
import { next, readEvents, type SseEvent } from './sse.js';
import { TestApi } from './support.js';

describe('API: long poll and events', () => {
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

  async function running(): Promise<string> {
    // A pool without a node: the test is the node.
    const id = await api.submit({ pool: 'fast' });
    await api.jobs.start(id, 'test');
    return id;
  }
  const watched = async () => {
    while (api.jobs.watched === 0) await delay(5);
  };

  it('answers a long poll at the next change', async () => {
    const id = await running();
    const poll = api.send('GET', `/v1/jobs/${id}?wait=30`);
    await watched();
    await api.jobs.report(id, 1, 'copying', progressOf(50));
    const { status, json } = await poll;
    expect([status, json.phase, json.progress.percent]).to.deep.equal([200, 'copying', 50]);
  });

  it('answers at once when the job has ended, and when it changed since the version in If-None-Match', async () => {
    const id = await running();
    const seen = await api.send('GET', `/v1/jobs/${id}`);
    await api.jobs.report(id, 1, 'copying', null);
    const etag = seen.headers.etag as string;
    const changed = await api.send('GET', `/v1/jobs/${id}?wait=30`, { headers: { 'if-none-match': etag } });
    expect([changed.status, changed.json.phase]).to.deep.equal([200, 'copying']);
    await api.jobs.finish(id, 1, { state: 'completed', result });
    const ended = await api.send('GET', `/v1/jobs/${id}?wait=30`);
    expect(ended.json.state).to.equal('completed');
  });

  it('answers the unchanged job when the time is over, or 304 to who knows it', async () => {
    const id = await running();
    const startedAt = performance.now();
    const reply = await api.send('GET', `/v1/jobs/${id}?wait=1`);
    expect(performance.now() - startedAt).to.be.within(900, 3000);
    expect([reply.status, reply.json.state]).to.deep.equal([200, 'active']);
    const known = { headers: { 'if-none-match': reply.headers.etag as string } };
    const same = await api.send('GET', `/v1/jobs/${id}`, known);
    expect([same.status, same.text]).to.deep.equal([304, '']);
  });

  it('forgets a client that goes away while it waits', async () => {
    const id = await running();
    const polls = Array.from({ length: 20 }, () => api.open('GET', `/v1/jobs/${id}?wait=60`));
    for (const poll of polls) poll.catch(() => {});
    await watched();
    const { request } = await import('node:http');
    const { hostname, port } = new URL(api.api.url);
    const gone = request({ host: hostname, port, path: `/v1/jobs/${id}?wait=60`, agent: false }).end();
    gone.on('error', () => {});
    await delay(50);
    gone.destroy();
    await api.jobs.cancel(id);
    // For a poll that comes only now: the job has ended, and nothing is left to wait for.
    await api.jobs.finish(id, 1, { state: 'canceled' });
    await Promise.all(polls);
  });

  it('streams the job from now to its end, then ends', async () => {
    const id = await api.submit({ pool: 'fast' });
    const stream = await api.open('GET', `/v1/jobs/${id}/events`, { accept: 'text/event-stream' });
    expect(stream.statusCode).to.equal(200);
    expect(stream.headers['content-type']).to.match(/^text\/event-stream/);
    const events = readEvents(stream);
    expect((await next(events)).data).to.include({ id, state: 'queued' });
    await watched();
    await api.jobs.start(id, 'test');
    expect(await next(events)).to.nested.include({ event: 'state', 'data.state': 'active', 'data.attempt': 1 });
    for (const percent of [10, 60]) {
      await api.jobs.report(id, 1, 'copying', progressOf(percent));
      const { event, data } = await next(events);
      expect(event).to.equal('progress');
      expect(data).to.deep.equal({ id, state: 'active', phase: 'copying', progress: progressOf(percent) });
    }
    await api.jobs.finish(id, 1, { state: 'completed', result });
    const last = await next(events);
    expect(last.event).to.equal('state');
    expect(last.data).to.deep.include({ state: 'completed', result });
    expect((await events.next()).done, 'the stream ends').to.equal(true);
    const again = await api.send('GET', `/v1/jobs/${id}/events`, { headers: { 'last-event-id': last.id } });
    expect(again.status, 'EventSource stops on 204').to.equal(204);
    const late = await api.send('GET', `/v1/jobs/${id}/events`);
    expect(late.text.match(/^event:.*$/gm)).to.deep.equal(['event:state']);
  });

  it('shows a whole run of a node, in order', async () => {
    const id = await api.submit();
    const stream = await api.open('GET', `/v1/jobs/${id}/events`);
    const node = new FakeNode(api.redis.url, api.jobs);
    const seen: SseEvent[] = [];
    for await (const event of readEvents(stream)) seen.push(event);
    await node.close();
    const versions = seen.map((event) => Number(event.id));
    expect(versions).to.deep.equal([...versions].sort((a, b) => a - b));
    expect(seen[0]?.data.state).to.equal('queued');
    expect(seen.at(-1)?.data.state).to.equal('completed');
  });

  it('refuses events to who does not accept them', async () => {
    const id = await running();
    const reply = await api.send('GET', `/v1/jobs/${id}/events`, { headers: { accept: 'application/json' } });
    expect([reply.status, reply.json.code]).to.deep.equal([406, 'NOT_ACCEPTABLE']);
    const head = await api.send('HEAD', `/v1/jobs/${id}/events`);
    expect([head.status, head.text]).to.deep.equal([200, '']);
  });

  it('forgets a client that leaves its stream', async () => {
    const id = await running();
    const stream = await api.open('GET', `/v1/jobs/${id}/events`);
    await next(readEvents(stream)).catch(() => {});
    await watched();
    stream.destroy();
  });

  it('says that it is alive while nothing happens', async () => {
    const quiet = await TestApi.start({ heartbeatMs: 20 });
    const stream = await quiet.open('GET', `/v1/jobs/${await quiet.submit({ pool: 'fast' })}/events`);
    stream.setEncoding('utf8');
    let text = '';
    for await (const chunk of stream) {
      text += chunk;
      if (text.endsWith(':\n\n:\n\n')) break;
    }
    await quiet.stop();
  });

  // The heartbeat of better-sse wrote after the end of a stream that was not read yet: an uncaught error.
  it('survives a client that does not read, and lets it read the end later', async () => {
    const stalled = await TestApi.start({ heartbeatMs: 20 });
    // 37 KB an event, 6 MB in all: more than the kernel holds for a client that does not read.
    const attempts = 85;
    const ranges = Array.from({ length: 1000 }, (_, i) => ({ start: i * 1_000_000_000, length: 4096 }));
    const target = { type: 'file', path: stalled.path('out.raw') };
    const body = { kind: 'zero', target, ranges, pool: 'fast' };
    const accepted = await stalled.send('POST', '/v1/jobs', { body });
    expect(accepted.status).to.equal(202);
    const { id } = accepted.json;
    const stream = await stalled.open('GET', `/v1/jobs/${id}/events`);
    stream.pause();
    while (stalled.jobs.watched === 0) await delay(5);
    for (let attempt = 1; attempt <= attempts; attempt++) {
      await stalled.jobs.start(id, 'test');
      await delay(10);
      if (attempt < attempts) await stalled.jobs.requeue(id, attempt, null);
      else await stalled.jobs.finish(id, attempt, { state: 'completed', result });
      await delay(10);
    }
    await delay(200);
    let last: SseEvent | undefined;
    for await (const event of readEvents(stream)) last = event;
    expect(last?.data.state).to.equal('completed');
    await stalled.stop();
  });

  it('ends long polls and streams at once when it closes', async () => {
    const other = await TestApi.start();
    const id = await other.submit({ pool: 'fast' });
    const poll = other.send('GET', `/v1/jobs/${id}?wait=60`);
    const stream = await other.open('GET', `/v1/jobs/${id}/events`);
    const events = readEvents(stream);
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
