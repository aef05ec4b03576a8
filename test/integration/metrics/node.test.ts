/** The metrics of a node without an API, and of both while their Redis is away. */
import { expect } from 'chai';
import { readConfig } from '../../../shared/config.js';
import { createLog } from '../../../shared/log.js';
import { JobStore } from '../../../shared/queue/job-store.js';
import { JobRequest } from '../../../shared/schemas/job.js';
import { MiB } from '../../../shared/units.js';
import { makeImage } from '../../helpers/bytes.js';
import { TestRedis } from '../../helpers/redis.js';
import { parseMetrics, type Scrape } from '../../helpers/scrape.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';
import { FERRY, type Running, run, start, until } from '../cli/programs.js';

const TOKEN = 'correct-horse';
const SIZE = 24 * MiB;

describe('metrics of processes that share a Redis', function () {
  this.timeout(120_000);
  let dir: TempDir;
  let redis: TestRedis;
  const programs: Running[] = [];

  before(async () => {
    dir = await tempDir();
    redis = await TestRedis.start();
  });
  afterEach(async () => {
    for (const program of programs.splice(0)) await program.end('SIGKILL');
  });
  after(async () => {
    await redis?.stop();
    await dir?.release();
  });

  async function startProgram(
    name: 'node' | 'api',
    env: Record<string, string> = {},
  ): Promise<{ program: Running; ready: { api?: { url: string }; metrics?: { url: string } } }> {
    const program = start(FERRY, [name], {
      FERRY_REDIS_URL: redis.url,
      FERRY_API_PORT: '0',
      FERRY_NODE_NAME: 'node-1',
      ...(name === 'node' ? { FERRY_STORAGE_ROOTS: dir.path } : {}),
      ...env,
    });
    programs.push(program);
    return { program, ready: JSON.parse(await program.line()) };
  }

  async function scrape(url: string): Promise<Scrape> {
    const answer = await fetch(url);
    expect(answer.status).to.equal(200);
    return parseMetrics(await answer.text());
  }

  it('are off by default on a node', async () => {
    expect((await startProgram('node')).ready).to.have.keys(['msg', 'images']);
  });

  it('are served by a node at the address that its ready line tells', async () => {
    const { program, ready } = await startProgram('node', { FERRY_METRICS_PORT: '0' });
    expect(ready).to.have.keys(['msg', 'metrics', 'images']);
    const url = ready.metrics?.url as string;
    expect(url).to.match(/^http:\/\/127\.0\.0\.1:\d+\/metrics$/);
    const config = readConfig({});
    const jobs = await JobStore.open({ redisUrl: redis.url, config, log: createLog('silent') });
    try {
      await makeImage(dir.join('image'), 8 * MiB, [{ start: 0, length: MiB }]);
      const target = { type: 'file', path: dir.join('target') };
      const source = { type: 'file', path: dir.join('image') };
      const { id } = await jobs.create(JobRequest.parse({ kind: 'upload', source, target }));
      await until('the job ends', async () => (await jobs.get(id))?.endedAt !== null);
      const job = await jobs.get(id);
      expect(job?.state).to.equal('completed');
      const metrics = await scrape(url);
      const pool = 'default';
      expect(metrics.value('ferry_copied_bytes_total', { pool })).to.equal(job?.result?.copiedBytes);
      expect(metrics.value('ferry_info', { version: '0.1.0', node: 'node-1' })).to.equal(1);
      expect(metrics.value('ferry_node_jobs_running', { pool, node: 'node-1' })).to.equal(0);
      expect(metrics.value('ferry_queue_up')).to.equal(1);
      // What is in the queue is the same on every node: only who has an API says it.
      expect(metrics.types.has('ferry_jobs')).to.equal(false);
      expect((await fetch(new URL('/other', url))).status).to.equal(404);
    } finally {
      await jobs.close();
    }
    expect(await program.end('SIGTERM')).to.equal(0);
  });

  it('need the token where there is one', async () => {
    const { ready } = await startProgram('node', { FERRY_METRICS_PORT: '0', FERRY_API_TOKEN: TOKEN });
    const url = ready.metrics?.url as string;
    for (const headers of [{}, { authorization: 'Bearer wrong-horse' }]) {
      const answer = await fetch(url, { headers });
      expect(answer.status).to.equal(401);
      expect(await answer.text()).not.to.include('ferry_');
    }
    expect((await fetch(url, { headers: { authorization: `Bearer ${TOKEN}` } })).status).to.equal(200);
  });

  it('are refused beyond loopback without a token, before anything starts', async () => {
    const env = { FERRY_REDIS_URL: redis.url, FERRY_METRICS_HOST: '0.0.0.0', FERRY_METRICS_PORT: '0' };
    const { code, stderr } = await run(FERRY, ['node'], env);
    expect(code).to.equal(2);
    expect(stderr).to.include('FERRY_METRICS_HOST').and.include('FERRY_API_TOKEN');
  });

  it('say which address of theirs is in use', async () => {
    const { ready } = await startProgram('node', { FERRY_METRICS_PORT: '0' });
    const { port } = new URL(ready.metrics?.url as string);
    const env = { FERRY_REDIS_URL: redis.url, FERRY_METRICS_PORT: port };
    const { code, stderr } = await run(FERRY, ['node'], env);
    expect(code).to.equal(2);
    expect(stderr).to.include('FERRY_METRICS_PORT').and.include('EADDRINUSE');
  });

  it('count a job that was taken over from a node that is gone, and what each node did of it', async () => {
    const env = { FERRY_METRICS_PORT: '0', FERRY_LEASE_MS: '1000', FERRY_FLUSH_INTERVAL_MS: '100' };
    const first = await startProgram('node', env);
    const jobs = await JobStore.open({ redisUrl: redis.url, config: readConfig({}), log: createLog('silent') });
    try {
      await makeImage(dir.join('large'), SIZE, [{ start: 0, length: SIZE }]);
      const request = JobRequest.parse({
        kind: 'upload',
        source: { type: 'file', path: dir.join('large') },
        target: { type: 'file', path: dir.join('copy') },
        options: { bandwidthBytesPerSecond: 8 * MiB, detectZeroes: false },
      });
      const { id } = await jobs.create(request);
      await until('something is durable', async () => ((await jobs.get(id))?.progress?.durableBytes ?? 0) > 0);
      const pool = 'default';
      const before = await scrape(first.ready.metrics?.url as string);
      await first.program.end('SIGKILL');
      const second = await startProgram('node', { ...env, FERRY_NODE_NAME: 'node-2' });
      await jobs.patch(id, { bandwidthBytesPerSecond: null });
      await until('the job ends', async () => (await jobs.get(id))?.endedAt !== null, 40_000);
      const job = await jobs.get(id);
      expect(job).to.include({ state: 'completed', node: 'node-2' });
      const after = await scrape(second.ready.metrics?.url as string);
      expect(before.value('ferry_jobs_taken_over_total', { pool })).to.equal(0);
      expect(after.value('ferry_jobs_taken_over_total', { pool })).to.equal(1);
      expect(after.value('ferry_copied_bytes_total', { pool })).to.equal(job?.result?.copiedBytes);
      const resumed = job?.result?.resumedBytes ?? 0;
      expect(resumed, 'it went on').to.be.greaterThan(0);
      expect(after.value('ferry_durable_bytes_total', { pool })).to.equal(SIZE - resumed);
      const lines = second.program.stderr().trim().split('\n');
      const takenOver = lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'taken over');
      expect(takenOver).to.have.length(1);
      expect(takenOver[0]).to.include({ job: id, from: 'node-1', node: 'node-2', attempt: 2 });
    } finally {
      await jobs.close();
    }
  });

  it('say that Redis is away, quickly, and all the rest', async () => {
    const node = await startProgram('node', { FERRY_METRICS_PORT: '0' });
    const api = await startProgram('api');
    const urls = { node: node.ready.metrics?.url as string, api: `${api.ready.api?.url}/metrics` };
    const pool = 'default';
    expect((await scrape(urls.api)).value('ferry_jobs', { pool, state: 'queued' })).to.equal(0);
    await redis.kill();
    const startedAt = performance.now();
    const [ofNode, ofApi] = await Promise.all([scrape(urls.node), scrape(urls.api)]);
    expect(performance.now() - startedAt).to.be.below(8000);
    expect([ofNode.value('ferry_queue_up'), ofApi.value('ferry_queue_up')]).to.deep.equal([0, 0]);
    expect(ofApi.series('ferry_jobs'), 'no old numbers').to.deep.equal([]);
    expect(ofNode.value('ferry_threads')).to.be.greaterThan(0);
    expect(ofApi.value('ferry_event_loop_delay_seconds_count')).to.be.greaterThan(0);
    expect(ofNode.value('process_start_time_seconds')).to.be.greaterThan(0);
    await redis.start();
    await until('the API sees the queue again', async () => (await scrape(urls.api)).value('ferry_queue_up') === 1);
    expect((await scrape(urls.api)).value('ferry_jobs', { pool, state: 'queued' })).to.equal(0);
  });
});
