/** Two nodes on one Redis, one of which stops answering; and a node whose Redis is gone. */
import { expect } from 'chai';
import { readConfig } from '../../shared/config.js';
import { createLog } from '../../shared/log.js';
import { JobStore } from '../../shared/queue/job-store.js';
import { JobRequest } from '../../shared/schemas/job.js';
import { assertSameBytes, makeImage } from '../helpers/bytes.js';
import { hasCommand } from '../helpers/command.js';
import { isRoot, needs } from '../helpers/needs.js';
import { TestRedis } from '../helpers/redis.js';
import { injectFaults } from '../helpers/service.js';
import { type TempDir, tempDir } from '../helpers/temp.js';
import { FERRY, type Running, start, until } from '../integration/cli/programs.js';

const MiB = 1024 * 1024;
const SIZE = 96 * MiB;
/** Short, so that a frozen node loses its job soon. */
const LEASE = { FERRY_LEASE_MS: '1500' };
const needsTracing = needs(isRoot && hasCommand('strace'), 'root and strace');

describe('nodes that share a Redis', function () {
  this.timeout(120_000);
  let dir: TempDir;
  let redis: TestRedis;
  let jobs: JobStore;
  const nodes: Running[] = [];

  beforeEach(async () => {
    dir = await tempDir();
    redis = await TestRedis.start();
    jobs = await JobStore.open({ redisUrl: redis.url, config: readConfig(LEASE), log: createLog('silent') });
  });

  afterEach(async () => {
    for (const node of nodes.splice(0)) await node.end('SIGKILL');
    await jobs.close();
    await redis.stop();
    await dir.release();
  });

  async function startNode(name: string): Promise<Running> {
    const node = start(FERRY, ['node'], {
      FERRY_REDIS_URL: redis.url,
      FERRY_STORAGE_ROOTS: dir.path,
      FERRY_NODE_NAME: name,
      ...LEASE,
    });
    nodes.push(node);
    await node.line();
    return node;
  }

  needsTracing('take a job over from one that is frozen, and wait until it lets go of the target', async () => {
    // Symptom: the job failed for good with TARGET_BUSY, for the lock of its own earlier attempt.
    const [source, path] = [dir.join('source.img'), dir.join('target.img')];
    await makeImage(source, SIZE, [{ start: 0, length: SIZE, seed: 1 }]);
    const frozen = await startNode('frozen');
    const slow = await injectFaults(frozen.pid, 'pwrite64:delay_enter=100000');
    const request = { kind: 'upload', source: { type: 'file', path: source }, target: { type: 'file', path } };
    const { id } = await jobs.create(JobRequest.parse(request));
    await until('the first node copies', async () => (await jobs.get(id))?.phase === 'copying');
    await slow.detach();
    process.kill(frozen.pid, 'SIGSTOP');

    await startNode('other');
    await until('the other waits', async () => (await jobs.get(id))?.error?.code === 'TARGET_BUSY', 60_000);
    process.kill(frozen.pid, 'SIGCONT');
    await until('the job ends', async () => (await jobs.get(id))?.endedAt !== null, 60_000);
    const job = await jobs.get(id);
    expect(job?.state).to.equal('completed');
    expect(job?.attempt).to.be.greaterThan(1);
    await assertSameBytes(source, path);
  });

  it('end in time on SIGTERM although Redis is gone', async () => {
    const node = await startNode('idle');
    await redis.kill();
    // Ending by force, when closing takes too long, is exit code 1.
    expect(await node.end('SIGTERM')).to.equal(0);
  });
});
