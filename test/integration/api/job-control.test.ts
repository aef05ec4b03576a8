import { expect } from 'chai';
import { JobView } from '../../../shared/schemas/job.js';
import { FakeNode } from './fake-node.js';
import { recordingLog, TestApi } from './support.js';

describe('API: pause, resume, change', () => {
  let api: TestApi;
  let node: FakeNode;
  const { log, lines } = recordingLog();

  before(async () => {
    api = await TestApi.start({ log });
    node = new FakeNode(api.redis.url, api.jobs);
  });
  beforeEach(() => {
    lines.length = 0;
  });
  after(async () => {
    await node?.close();
    await api?.stop();
  });

  const until = (id: string, ...states: string[]): Promise<JobView> =>
    api.until(`/v1/jobs/${id}`, ({ state }) => states.includes(state));
  const post = (id: string, verb: string) => api.send('POST', `/v1/jobs/${id}/${verb}`);
  const patch = (id: string, body: unknown) => api.send('PATCH', `/v1/jobs/${id}`, { body });

  it('pauses a waiting job at once, and lets it go on', async () => {
    const id = await api.submit({ pool: 'fast' });
    const paused = await post(id, 'pause');
    expect(paused.status, paused.text).to.equal(202);
    expect(JobView.parse(paused.json)).to.include({ state: 'paused', requested: null });
    expect(paused.headers.location).to.equal(`/v1/jobs/${id}`);
    const listed = await api.send('GET', '/v1/jobs?state=paused');
    expect(listed.json.jobs.map((job: JobView) => job.id)).to.deep.equal([id]);
    const resumed = await post(id, 'resume');
    expect([resumed.status, resumed.json.state]).to.deep.equal([202, 'queued']);
  });

  it('pauses a running job soon, and runs it again when it is resumed', async () => {
    const id = await api.submit({ labels: { act: 'hold' } });
    await until(id, 'active');
    const asked = await post(id, 'pause');
    expect(asked.status, asked.text).to.equal(202);
    expect([asked.json.state, asked.json.requested]).to.be.deep.oneOf([
      ['active', 'pause'],
      ['paused', null],
    ]);
    expect(await until(id, 'paused')).to.include({ attempt: 1, requested: null });
    expect((await post(id, 'resume')).status).to.equal(202);
    expect((await until(id, 'active')).attempt).to.equal(2);
    await api.send('DELETE', `/v1/jobs/${id}`);
    expect(await until(id, 'canceled')).to.include({ requested: null });
  });

  it('shows what was asked of a running job until it is done', async () => {
    // A pool without a node: the test is the node.
    const id = await api.submit({ pool: 'fast' });
    await api.jobs.start(id, 'test');
    expect((await post(id, 'pause')).json).to.include({ state: 'active', requested: 'pause' });
    expect((await post(id, 'resume')).json).to.include({ state: 'active', requested: null });
    expect((await post(id, 'pause')).json.requested).to.equal('pause');
    expect((await api.send('DELETE', `/v1/jobs/${id}`)).json.requested).to.equal('cancel');
    await api.jobs.finish(id, 1, { state: 'canceled' });
    expect((await api.send('GET', `/v1/jobs/${id}`)).json).to.include({ state: 'canceled', requested: null });
  });

  it('cancels a paused job at once', async () => {
    const id = await api.submit({ pool: 'fast' });
    await post(id, 'pause');
    const reply = await api.send('DELETE', `/v1/jobs/${id}`);
    expect([reply.status, reply.json.state]).to.deep.equal([202, 'canceled']);
  });

  it('changes priority and bandwidth of a job that has not ended, one by one', async () => {
    const options = { allocation: 'sparse', priority: 3 };
    const id = await api.submit({ pool: 'fast', options });
    const changed = await patch(id, { bandwidthBytesPerSecond: 1_000_000 });
    expect(changed.status, changed.text).to.equal(200);
    expect(JobView.parse(changed.json).options).to.deep.include({ ...options, bandwidthBytesPerSecond: 1_000_000 });
    expect((await patch(id, { priority: 1000 })).json.options).to.include({
      priority: 1000,
      bandwidthBytesPerSecond: 1_000_000,
    });
    expect((await patch(id, { bandwidthBytesPerSecond: null })).json.options.bandwidthBytesPerSecond).to.equal(null);
    const read = await api.send('GET', `/v1/jobs/${id}`);
    expect(read.json.options).to.include({ allocation: 'sparse', priority: 1000, bandwidthBytesPerSecond: null });
  });

  it('shows a change to who waits for one', async () => {
    const id = await api.submit({ pool: 'fast' });
    const { headers } = await api.send('GET', `/v1/jobs/${id}`);
    await patch(id, { priority: 7 });
    const known = { headers: { 'if-none-match': headers.etag as string } };
    const reply = await api.send('GET', `/v1/jobs/${id}`, known);
    expect([reply.status, reply.json?.options.priority]).to.deep.equal([200, 7]);
  });

  it('refuses to pause, to resume and to change a job that has ended, and to resume one that is not paused', async () => {
    const done = await api.submit();
    await until(done, 'completed');
    const waiting = await api.submit({ pool: 'fast' });
    for (const [what, reply] of Object.entries({
      pause: await post(done, 'pause'),
      resume: await post(done, 'resume'),
      patch: await patch(done, { priority: 1 }),
      'resume a queued one': await post(waiting, 'resume'),
    })) {
      expect([reply.status, reply.json.code], what).to.deep.equal([409, 'JOB_STATE_CONFLICT']);
    }
  });

  it('writes one line to the log for each change, and none for a refusal or a repetition', async () => {
    const headers = { 'idempotency-key': 'logged' };
    const send = () => api.send('POST', '/v1/jobs', { body: api.upload({ pool: 'fast' }), headers });
    const { id } = (await send()).json;
    await send();
    await post(id, 'pause');
    await post(id, 'resume');
    await post(id, 'resume');
    await patch(id, { priority: 5 });
    await api.send('DELETE', `/v1/jobs/${id}`);
    await post(id, 'retry');
    await api.send('DELETE', `/v1/jobs/${id}`);
    const said = lines.map(({ msg, job, batch }) => [msg, job, batch]);
    const words = [
      'queued',
      'pause requested',
      'resumed',
      'changed',
      'cancel requested',
      'retried',
      'cancel requested',
    ];
    expect(said).to.deep.equal(words.map((word) => [word, id, undefined]));
    expect(lines[3]).to.include({ level: 30, priority: 5 });
  });

  it('names the batch in the log, also of a job that is a disk of one', async () => {
    const id = await api.submitBatch([{ name: 'web-1', acts: ['complete'] }], { pool: 'fast' });
    const job = (await api.send('GET', `/v1/batches/${id}`)).json.vms[0].disks[0].jobId;
    const batch = (verb: string) => api.send('POST', `/v1/batches/${id}/${verb}`);
    await batch('pause');
    await batch('resume');
    await post(job, 'pause');
    await post(job, 'resume');
    await api.jobs.start(job, 'test');
    await api.jobs.finish(job, 1, { state: 'failed', error: { code: 'STORAGE_FULL', message: 'no space' } });
    await batch('retry');
    await api.send('DELETE', `/v1/batches/${id}`);
    expect(lines.map(({ msg, batch, job }) => [msg, batch, job])).to.deep.equal([
      ['batch submitted', id, undefined],
      ['batch paused', id, undefined],
      ['batch resumed', id, undefined],
      ['pause requested', id, job],
      ['resumed', id, job],
      ['batch retried', id, undefined],
      ['batch canceled', id, undefined],
    ]);
    expect(lines[0]).to.include({ disks: 1 });
  });
});
