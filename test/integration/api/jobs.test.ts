import { expect } from 'chai';
import { FerryError } from '../../../shared/errors.js';
import { servePlans } from '../../../shared/queue/plans.js';
import { JobView, Plan } from '../../../shared/schemas/job.js';
import { FakeNode, failure, result } from './fake-node.js';
import { log, type Reply, TestApi } from './support.js';

describe('API: jobs', () => {
  let api: TestApi;
  let node: FakeNode;

  before(async () => {
    api = await TestApi.start({ planTimeoutMs: 1000 });
    node = new FakeNode(api.redis.url, api.jobs);
  });
  after(async () => {
    await node?.close();
    await api?.stop();
  });

  const until = async (id: string, ...states: string[]): Promise<JobView> =>
    (await api.until(`/v1/jobs/${id}`, ({ state }) => states.includes(state))) as JobView;

  it('takes an upload and shows it to its end', async () => {
    const body = api.upload({ labels: { vm: 'web-1' }, options: { allocation: 'sparse', verify: true } });
    const accepted = await api.send('POST', '/v1/jobs', { body });
    expect(accepted.status).to.equal(202);
    const { id } = accepted.json;
    const links = { self: `/v1/jobs/${id}`, events: `/v1/jobs/${id}/events` };
    expect(accepted.json).to.deep.equal({ id, kind: 'upload', state: 'queued', links });
    expect(accepted.headers.location).to.equal(links.self);
    const job = await until(id, 'completed');
    expect(JobView.parse(job), 'the view is what the schema says').to.deep.equal(job);
    expect(job).to.deep.include({
      kind: 'upload',
      pool: 'default',
      labels: { vm: 'web-1' },
      result,
      links,
      attempt: 1,
    });
    expect(job.source).to.deep.equal({ type: 'file', path: api.path('in.img'), format: 'raw' });
    expect(job.options).to.deep.include({ allocation: 'sparse', verify: true, detectZeroes: true, zeroTail: true });
    expect(job).to.include({ node: 'fake-node', phase: null });
    expect(job.progress?.percent).to.equal(100);
    expect(new Date(job.endedAt as string).getTime()).to.be.at.least(new Date(job.createdAt).getTime());
  });

  it('takes a zero of ranges, and one of the whole target', async () => {
    const target = { type: 'file', path: api.path('out.raw') };
    const ranges = [{ start: 512, length: 1024 }];
    for (const extra of [{ ranges }, {}]) {
      const reply = await api.send('POST', '/v1/jobs', { body: { kind: 'zero', target, ...extra } });
      expect(reply.status, reply.text).to.equal(202);
      const job = await until(reply.json.id, 'completed');
      expect(job.ranges).to.deep.equal('ranges' in extra ? ranges : undefined);
      expect(job.source).to.equal(undefined);
    }
  });

  it('answers a repeated submission with the same job, also when the source is gone by then', async () => {
    const { unlink, writeFile } = await import('node:fs/promises');
    const source = { type: 'file', path: api.path('brief.img') };
    await writeFile(source.path, 'x');
    const send = () =>
      api.send('POST', '/v1/jobs', { body: api.upload({ source }), headers: { 'idempotency-key': 'import web-1' } });
    const first = await send();
    await unlink(source.path);
    const second = await send();
    expect([first.status, second.status]).to.deep.equal([202, 202]);
    expect(second.json.id).to.equal(first.json.id);
    expect(second.headers.location).to.equal(first.headers.location);
    const other = await api.send('POST', '/v1/jobs', {
      body: api.upload({ labels: { other: 'body' } }),
      headers: { 'idempotency-key': 'import web-1' },
    });
    expect([other.status, other.json.code]).to.deep.equal([409, 'IDEMPOTENCY_CONFLICT']);
  });

  it('makes one job of many equal submissions at once', async () => {
    const replies = await Promise.all(
      Array.from({ length: 20 }, () =>
        api.send('POST', '/v1/jobs', { body: api.upload(), headers: { 'idempotency-key': 'many' } }),
      ),
    );
    expect(new Set(replies.map(({ json }) => json.id)).size).to.equal(1);
  });

  it('shows why a job failed, and queues it once more on request', async () => {
    const id = await api.submit({ labels: { act: 'fail' } });
    expect(await until(id, 'failed')).to.deep.include({ error: failure });
    const retried = await api.send('POST', `/v1/jobs/${id}/retry`);
    expect(retried.status, retried.text).to.equal(202);
    // The node may have taken it before the answer was written.
    expect(retried.json.state).to.be.oneOf(['queued', 'active', 'failed']);
    expect((await until(id, 'failed')).attempt).to.equal(2);
  });

  it('tries again by itself what may pass, and shows the error meanwhile', async () => {
    const id = await api.submit({ labels: { act: 'flaky' } });
    const job = await until(id, 'completed');
    expect(job.attempt).to.equal(2);
    expect(job).not.to.have.property('error');
  });

  it('cancels a running job', async () => {
    const id = await api.submit({ labels: { act: 'hold' } });
    await until(id, 'active');
    const reply = await api.send('DELETE', `/v1/jobs/${id}`);
    expect(reply.status).to.equal(202);
    expect((await until(id, 'canceled')).attempt).to.equal(1);
    const again = await api.send('DELETE', `/v1/jobs/${id}`);
    expect([again.status, again.json.code]).to.deep.equal([409, 'JOB_STATE_CONFLICT']);
  });

  it('cancels a waiting job at once', async () => {
    const id = await api.submit({ pool: 'fast' });
    const reply = await api.send('DELETE', `/v1/jobs/${id}`);
    expect([reply.status, reply.json.state]).to.deep.equal([202, 'canceled']);
  });

  it('retries only what failed or was canceled', async () => {
    const id = await api.submit();
    await until(id, 'completed');
    const reply = await api.send('POST', `/v1/jobs/${id}/retry`, { body: {} });
    expect([reply.status, reply.json.code]).to.deep.equal([409, 'JOB_STATE_CONFLICT']);
  });

  it('lists with filters and a cursor', async () => {
    const waiting: string[] = [];
    for (let i = 0; i < 5; i++) waiting.unshift(await api.submit({ pool: 'fast' }));
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const query: string = `state=queued&pool=fast&kind=upload&limit=2${cursor === null ? '' : `&cursor=${cursor}`}`;
      const page: Reply = await api.send('GET', `/v1/jobs?${query}`);
      expect(page.status, page.text).to.equal(200);
      expect(page.json.jobs.length).to.be.at.most(2);
      for (const job of page.json.jobs) seen.push(JobView.parse(job).id);
      cursor = page.json.nextCursor;
    } while (cursor !== null);
    expect(seen).to.deep.equal(waiting);
    const all = await api.send('GET', '/v1/jobs');
    expect(all.json.nextCursor).to.equal(null);
    expect(all.json.jobs.length).to.be.greaterThan(10);
  });

  it('plans without queueing', async () => {
    const served = servePlans({ redisUrl: api.redis.url, pools: ['default'], log }, async (request) => {
      if (request.labels.busy !== undefined)
        throw new FerryError('TARGET_BUSY', 'the target is mounted', { field: 'target.path' });
      return result.plan;
    });
    const before = await api.jobs.counts();
    const storage = await api.storage();
    const plan = await api.send('POST', '/v1/jobs?dryRun=true', { body: api.upload() });
    expect(plan.status, plan.text).to.equal(200);
    expect(Plan.parse(plan.json)).to.deep.equal(result.plan);
    const busy = await api.send('POST', '/v1/jobs?dryRun=true', { body: api.upload({ labels: { busy: '' } }) });
    expect([busy.status, busy.json.code, busy.json.errors[0].field]).to.deep.equal([409, 'TARGET_BUSY', 'target.path']);
    expect(await api.jobs.counts()).to.deep.equal(before);
    expect(await api.storage()).to.deep.equal(storage);
    const queued = await api.send('POST', '/v1/jobs?dryRun=false', { body: api.upload() });
    expect(queued.status).to.equal(202);
    await served.close();
  });

  it('says so when no node can plan', async () => {
    const plan = await api.send('POST', '/v1/jobs?dryRun=true', { body: api.upload({ pool: 'fast' }) });
    expect([plan.status, plan.json.code]).to.deep.equal([503, 'NODE_UNAVAILABLE']);
  });

  it('answers HEAD without a body, and never says what it is built with', async () => {
    const reply = await api.send('HEAD', '/v1/jobs');
    expect([reply.status, reply.text]).to.deep.equal([200, '']);
    expect(reply.headers).not.to.have.property('x-powered-by');
    expect(reply.headers['cache-control']).to.equal('no-store');
  });
});
