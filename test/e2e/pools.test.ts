/** A node that serves several pools takes no more than it has places for: what it cannot run is left to others. */
import { expect } from 'chai';
import { createLog } from '../../shared/log.js';
import { JobStore } from '../../shared/queue/job-store.js';
import { JobRequest } from '../../shared/schemas/job.js';
import { assertSameBytes, makeImage } from '../helpers/bytes.js';
import { TestRedis } from '../helpers/redis.js';
import { type TempDir, tempDir } from '../helpers/temp.js';
import { FERRY, type Running, start, until } from '../integration/cli/programs.js';

const MiB = 1024 * 1024;
const SIZE = 32 * MiB;

describe('nodes of several pools', function () {
  this.timeout(60_000);
  let redis: TestRedis;
  let dir: TempDir;
  let jobs: JobStore;
  const nodes: Running[] = [];

  before(async () => {
    redis = await TestRedis.start();
    dir = await tempDir();
    await makeImage(dir.join('source.img'), SIZE, [{ start: 0, length: SIZE, seed: 1 }]);
    const config = {
      pools: ['default', 'fast'],
      jobAttempts: 3,
      retryDelayMs: 100,
      keepJobs: { seconds: 3600, count: 100 },
      leaseMs: 10_000,
      poolConcurrency: new Map(),
    };
    jobs = await JobStore.open({ redisUrl: redis.url, config, log: createLog('silent') });
  });

  after(async () => {
    for (const node of nodes) await node.end('SIGTERM');
    await jobs?.close();
    await redis?.stop();
    await dir?.release();
  });

  async function startNode(name: string, pools: string): Promise<void> {
    const node = start(FERRY, ['node'], {
      FERRY_REDIS_URL: redis.url,
      FERRY_STORAGE_ROOTS: dir.path,
      FERRY_NODE_NAME: name,
      FERRY_POOLS: pools,
      FERRY_CONCURRENCY: '1',
      FERRY_THREADS: '2',
    });
    nodes.push(node);
    await node.line();
  }

  async function upload(
    name: string,
    pool: string,
    bandwidthBytesPerSecond: number | null,
    source = 'source.img',
  ): Promise<string> {
    const request = {
      kind: 'upload',
      source: { type: 'file', path: dir.join(source) },
      target: { type: 'file', path: dir.join(name) },
      options: { bandwidthBytesPerSecond },
      pool,
    };
    return (await jobs.create(JobRequest.parse(request))).id;
  }

  const stateOf = async (id: string) => (await jobs.get(id))?.state;

  it('leave the jobs of one pool to another node while they are busy with the other', async () => {
    await startNode('both', 'default,fast');
    const long = await upload('long.img', 'default', MiB);
    await until('the long one runs', async () => (await stateOf(long)) === 'active');
    const waiting = await Promise.all([1, 2, 3].map((i) => upload(`fast-${i}.img`, 'fast', null)));
    expect(await Promise.all(waiting.map(stateOf))).to.deep.equal(['queued', 'queued', 'queued']);
    await startNode('other', 'fast');
    for (const id of waiting) await until('it ends', async () => (await stateOf(id)) === 'completed', 20_000);
    expect(await stateOf(long)).to.equal('active');
    // A job that fails gives its place back like any other.
    const gone = await upload('gone.img', 'default', null, 'missing.img');
    // And the busy one takes from both pools again when it is free.
    await jobs.patch(long, { bandwidthBytesPerSecond: null });
    await until('the long one ends', async () => (await stateOf(long)) === 'completed');
    await assertSameBytes(dir.join('source.img'), dir.join('long.img'));
    await until('the one without a source fails', async () => (await stateOf(gone)) === 'failed');
    const last = await upload('last.img', 'default', null);
    await until('the last one ends', async () => (await stateOf(last)) === 'completed');
  });

  it('go on after jobs that failed', async () => {
    // Symptom: one failed job in each pool, and a node of several pools took no other any more.
    await startNode('alone', 'third,fourth');
    for (const pool of ['third', 'fourth', 'third']) {
      const failing = await upload('nowhere/x.img', pool, null);
      await until('it fails', async () => (await stateOf(failing)) === 'failed', 15_000);
    }
    const next = await upload('next.img', 'fourth', null);
    await until('the next one ends', async () => (await stateOf(next)) === 'completed', 15_000);
  });
});
