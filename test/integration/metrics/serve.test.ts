/** The metrics of a whole `ferry serve`, beside what its jobs say of themselves. */
import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import type { JobView } from '../../../shared/schemas/job.js';
import { MiB } from '../../../shared/units.js';
import { makeImage } from '../../helpers/bytes.js';
import { attachLoop, needsLoop } from '../../helpers/loop.js';
import { parseMetrics, type Scrape } from '../../helpers/scrape.js';
import { type Service, startService } from '../../helpers/service.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';

const SIZE = 48 * MiB;
const DATA = [
  { start: 0, length: 3 * MiB },
  { start: 20 * MiB, length: 5 * MiB },
];
const pool = 'default';

async function scrape(service: Service): Promise<Scrape> {
  const answer = await service.fetch('/metrics');
  expect(answer.status).to.equal(200);
  expect(answer.headers.get('content-type')).to.equal('text/plain; version=0.0.4; charset=utf-8');
  return parseMetrics(await answer.text());
}

describe('metrics of ferry serve', function () {
  this.timeout(60_000);
  let dir: TempDir;
  let service: Service;

  before(async () => {
    dir = await tempDir();
    service = await startService({ roots: [dir.path, '/dev'] });
    await makeImage(dir.join('image'), SIZE, DATA);
  });
  after(async () => {
    await service?.[Symbol.asyncDispose]();
    await dir?.release();
  });

  const upload = (path: string, options: object = {}, type: 'file' | 'block' = 'file') =>
    ({ kind: 'upload', source: { type: 'file', path: dir.join('image') }, target: { type, path }, options }) as const;

  /** What the counters grew by between two scrapes. */
  function growth(before: Scrape, after: Scrape) {
    const more = (name: string, labels: Record<string, string> = {}) =>
      (after.value(name, { pool, ...labels }) ?? 0) - (before.value(name, { pool, ...labels }) ?? 0);
    return {
      copied: more('ferry_copied_bytes_total'),
      durable: more('ferry_durable_bytes_total'),
      verified: more('ferry_verified_bytes_total'),
      zeroed: after
        .series('ferry_zeroed_bytes_total')
        .map(({ labels }) => ({
          method: labels.method,
          bytes: more('ferry_zeroed_bytes_total', { method: labels.method as string }),
        }))
        .filter(({ bytes }) => bytes > 0),
      attempts: more('ferry_job_attempts_total'),
      completed: more('ferry_jobs_ended_total', { state: 'completed' }),
    };
  }

  /** The same of a job that ran once. */
  function moved({ result, progress }: JobView) {
    if (result === undefined || progress === null) throw new Error('the job did not complete');
    // What was proven zero needed nothing, and a flush has nothing to confirm there.
    const given = result.plan?.strategy === 'no-zero' ? progress.zeroBytes : 0;
    return {
      copied: result.copiedBytes,
      durable: progress.durableBytes - given,
      verified: progress.verifiedBytes,
      zeroed: result.zeroed.map(({ method, bytes }) => ({ method, bytes })),
      attempts: 1,
      completed: 1,
    };
  }

  async function complete(request: Parameters<Service['submit']>[0]): Promise<JobView> {
    const job = await service.ended((await service.submit(request)).id);
    expect(job.state, JSON.stringify(job.error)).to.equal('completed');
    return job;
  }

  const byMethod = (a: { method?: string | undefined }, b: { method?: string | undefined }) =>
    (a.method ?? '') < (b.method ?? '') ? -1 : 1;

  async function expectMatch(request: Parameters<Service['submit']>[0]): Promise<void> {
    const before = await scrape(service);
    const job = await complete(request);
    const [grown, said] = [growth(before, await scrape(service)), moved(job)];
    grown.zeroed.sort(byMethod);
    said.zeroed.sort(byMethod);
    expect(grown).to.deep.equal(said);
    expect(grown.copied + grown.zeroed.reduce((sum, { bytes }) => sum + bytes, 0)).to.be.greaterThan(0);
  }

  it('count what an import into a new file copied and made durable', () => expectMatch(upload(dir.join('new'))));

  it('count what was zeroed by each method, and verified, over an old file', async () => {
    await makeImage(dir.join('old'), SIZE + 4 * MiB, [{ start: 0, length: SIZE }]);
    await expectMatch(upload(dir.join('old'), { verify: true }));
  });

  it('count a zero job', () =>
    expectMatch({
      kind: 'zero',
      target: { type: 'file', path: dir.join('old') },
      ranges: [{ start: 5, length: MiB }],
    }));

  needsLoop('count an import onto a block device', async () => {
    await using device = await attachLoop({ size: SIZE + MiB });
    await expectMatch(upload(device.path, {}, 'block'));
  });

  it('add up jobs that run at once', async () => {
    const before = await scrape(service);
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const jobs = await Promise.all(names.map((name) => complete(upload(dir.join(name), { allocation: 'sparse' }))));
    const grown = growth(before, await scrape(service));
    const sum = (field: 'copied' | 'durable' | 'completed') => jobs.reduce((all, job) => all + moved(job)[field], 0);
    expect(grown).to.include({ copied: sum('copied'), durable: sum('durable'), completed: names.length });
  });

  it('count a job that failed, with its code, and as failed in the queue', async () => {
    const before = await scrape(service);
    const { id } = await service.submit({
      ...upload(dir.join('small')),
      target: { type: 'file', path: dir.join('small'), size: MiB },
    });
    expect((await service.ended(id)).error?.code).to.equal('TARGET_TOO_SMALL');
    const after = await scrape(service);
    const more = (name: string, labels: Record<string, string>) =>
      (after.value(name, labels) ?? NaN) - (before.value(name, labels) ?? NaN);
    expect(more('ferry_jobs_ended_total', { pool, state: 'failed' })).to.equal(1);
    expect(more('ferry_job_errors_total', { pool, code: 'TARGET_TOO_SMALL' })).to.equal(1);
    expect(more('ferry_jobs', { pool, state: 'failed' })).to.equal(1);
  });

  it('count nothing twice when a job is stopped and goes on', async () => {
    await makeImage(dir.join('image'), SIZE, [{ start: 0, length: SIZE }]);
    const before = await scrape(service);
    const request = upload(dir.join('paused'), { bandwidthBytesPerSecond: 16 * MiB, detectZeroes: false });
    const { id } = await service.submit(request);
    // More than four steps in flight can hold: at least one is whole.
    await service.until(id, (job) => (job.progress?.doneBytes ?? 0) > 17 * MiB);
    await service.fetch(`/v1/jobs/${id}/pause`, { method: 'POST' });
    await service.until(id, (job) => job.state === 'paused');
    const between = await scrape(service);
    const first = growth(before, between);
    expect(first.copied).to.be.within(4 * MiB, SIZE - 1);
    expect(first.durable, 'a pause flushes').to.equal(first.copied);
    const patch = { bandwidthBytesPerSecond: null };
    const headers = { 'content-type': 'application/json' };
    await service.fetch(`/v1/jobs/${id}`, { method: 'PATCH', headers, body: JSON.stringify(patch) });
    await service.fetch(`/v1/jobs/${id}/resume`, { method: 'POST' });
    const job = await service.ended(id);
    const after = await scrape(service);
    // What the first attempt settled is its own; a step that the pause cut short is done again, and counts again.
    const resumed = job.result?.resumedBytes ?? 0;
    expect(resumed).to.be.within(1, first.copied);
    const rest = { copied: SIZE - resumed, durable: SIZE - resumed, attempts: 1, completed: 1 };
    expect(growth(between, after)).to.include(rest);
    expect(job.result?.copiedBytes).to.equal(rest.copied);
    expect(growth(before, after)).to.include({ copied: first.copied + rest.copied, attempts: 2 });
    expect(after.value('ferry_jobs_ended_total', { pool, state: 'paused' })).to.equal(1);
  });

  it('show the state of the node, of the queue and of the API', async () => {
    const metrics = await scrape(service);
    expect(metrics.value('ferry_queue_up')).to.equal(1);
    expect(metrics.value('ferry_nodes', { state: 'up' })).to.equal(1);
    expect(metrics.value('ferry_jobs', { pool, state: 'active' })).to.equal(0);
    for (const waits_for of ['node', 'retry', 'batch'])
      expect(metrics.value('ferry_queue_waiting_jobs', { pool, waits_for }), waits_for).to.equal(0);
    const running = metrics.series('ferry_node_jobs_running');
    expect(running.map(({ labels, value }) => [labels.pool, value])).to.deep.equal([[pool, 0]]);
    expect(metrics.value('ferry_threads')).to.be.greaterThan(0);
    expect(metrics.value('ferry_threads_busy')).to.equal(0);
    expect(metrics.value('ferry_buffers_in_use_bytes')).to.equal(0);
    expect(metrics.value('ferry_event_loop_delay_seconds_count')).to.be.greaterThan(0);
    expect(metrics.value('ferry_leases_lost_total', { pool })).to.equal(0);
    expect(metrics.value('ferry_checkpoints_total', { pool })).to.be.greaterThan(5);
    const created = { method: 'POST', route: '/v1/jobs', status: '202' };
    expect(metrics.value('ferry_api_request_duration_seconds_count', created)).to.be.greaterThan(5);
    const unknown = { method: 'GET', route: 'none', status: '404' };
    await service.fetch('/v1/what-is-this');
    expect((await scrape(service)).value('ferry_api_request_duration_seconds_count', unknown)).to.equal(1);
  });

  it('show how long native calls took', async () => {
    const metrics = await scrape(service);
    const calls = (operation: string) => metrics.value('ferry_native_call_seconds_count', { operation }) ?? 0;
    for (const operation of ['open', 'close', 'read', 'write', 'flush', 'lock', 'resize'])
      expect(calls(operation), operation).to.be.greaterThan(0);
    for (const { labels } of metrics.series('ferry_native_call_seconds_count')) {
      const buckets = metrics
        .series('ferry_native_call_seconds_bucket')
        .filter((bucket) => bucket.labels.operation === labels.operation);
      expect(buckets.at(-1)?.labels.le).to.equal('+Inf');
      expect(buckets.at(-1)?.value).to.equal(calls(labels.operation as string));
      for (const [at, bucket] of buckets.entries()) expect(bucket.value).to.be.at.least(buckets[at - 1]?.value ?? 0);
    }
  });

  it('are all described in docs/metrics.md, and nothing else is', async () => {
    const text = await readFile(new URL('../../../../docs/metrics.md', import.meta.url), 'utf8');
    const described = [...text.matchAll(/^\| `(ferry_[a-z_]+)`/gm)].map((match) => match[1] as string);
    const metrics = await scrape(service);
    const ours = [...metrics.types.keys()].filter((name) => name.startsWith('ferry_'));
    expect(described.sort()).to.deep.equal(ours.sort());
    // The labels that the table names are those that there are.
    for (const [, name, labels] of text.matchAll(/^\| `(ferry_[a-z_]+)` \| ([^|]*) \|/gm)) {
      const series = metrics.series(name as string)[0] ?? metrics.series(`${name}_bucket`)[0];
      const told = [...(labels as string).matchAll(/`([a-z_]+)`/g)].map((match) => match[1]);
      expect(told.sort(), name).to.deep.equal(
        Object.keys(series?.labels ?? {})
          .filter((label) => label !== 'le')
          .sort(),
      );
    }
  });

  it('have names and units as Prometheus wants them, and a sentence each', async () => {
    const { types, help } = await scrape(service);
    for (const [name, type] of types) {
      if (!name.startsWith('ferry_')) continue;
      expect(name.endsWith('_total'), name).to.equal(type === 'counter');
      if (type === 'histogram') expect(name).to.match(/_seconds$/);
      expect(name).to.not.match(/_ms|_milliseconds|_kib|_mib/);
      expect(help.get(name)?.length, name).to.be.greaterThan(20);
    }
  });
});
