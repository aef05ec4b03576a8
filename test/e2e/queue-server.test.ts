/** The queue server is killed and started again in the middle of a batch: nothing is lost and nothing fails. */
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import type { BatchRequestInput } from '../../shared/schemas/batch.js';
import { assertSameBytes, makeImage } from '../helpers/bytes.js';
import { Cluster } from '../helpers/cluster.js';
import { hasCommand } from '../helpers/command.js';
import { isRoot, needs } from '../helpers/needs.js';
import { type TempDir, tempDir } from '../helpers/temp.js';
import { injectFaults } from '../helpers/tracer.js';

const MiB = 1024 * 1024;
const SIZE = 24 * MiB;
const DISKS = 12;
const needsTracing = needs(isRoot && hasCommand('strace'), 'root and strace');

describe('a batch whose queue server is killed', function () {
  this.timeout(120_000);
  let dir: TempDir;

  beforeEach(async () => {
    dir = await tempDir();
    await makeImage(dir.join('source.img'), SIZE, [
      { start: 0, length: 10 * MiB, seed: 1 },
      { start: 14 * MiB, length: 10 * MiB, seed: 2 },
    ]);
  });

  afterEach(async () => {
    await dir.release();
  });

  function batch(): BatchRequestInput {
    const vms = Array.from({ length: DISKS }, (_, at) => ({
      name: `vm-${at}`,
      disks: [
        {
          source: { type: 'file' as const, path: dir.join('source.img') },
          target: { type: 'file' as const, path: dir.join(`disk-${at}.img`) },
          options: { bandwidthBytesPerSecond: 8 * MiB },
        },
      ],
    }));
    return { name: 'wave', vms, maxConcurrentDisks: 5 };
  }

  for (const [what, awayMs, times] of [
    ['for a moment', 0, 4],
    ['for longer than a lease', 2500, 2],
  ] as const) {
    it(`${what}, ${times} times, is completed`, async () => {
      await using cluster = await Cluster.start({ roots: [dir.path], nodes: ['a', 'b'] });
      const id = await cluster.submitBatch(batch());
      for (let time = 0; time < times; time++) {
        const before = await cluster.batch(id);
        const done = before.counts.completed;
        await until(async () => (await cluster.batch(id)).counts.completed > done);
        await cluster.redis.kill();
        await delay(awayMs);
        await cluster.redis.start();
      }
      const ended = await cluster.batchEnded(id, 90_000);
      expect(ended.counts).to.deep.equal({ queued: 0, active: 0, paused: 0, completed: DISKS, failed: 0, canceled: 0 });
      for (const at of ended.vms.keys()) await assertSameBytes(dir.join('source.img'), dir.join(`disk-${at}.img`));
    });
  }
});

describe('a job that needs the queue server while that is away', function () {
  this.timeout(60_000);

  needsTracing('is queued again, and not failed for it', async () => {
    // Symptom: the outage counted as a failure of the job, so that a few of them ended it with QUEUE_UNAVAILABLE.
    await using dir = await tempDir();
    const [source, target] = [dir.join('source.img'), dir.join('target.img')];
    await makeImage(source, SIZE, [{ start: 0, length: SIZE, seed: 1 }]);
    // A lease that outlives the outage: what the job meets is the outage itself.
    const env = { FERRY_JOB_ATTEMPTS: '1', FERRY_LEASE_MS: '30000' };
    await using cluster = await Cluster.start({ roots: [dir.path], env });
    const slow = await injectFaults(cluster.pid('a'), 'lseek:delay_enter=1000000');
    const id = await cluster.submit({
      kind: 'upload',
      source: { type: 'file', path: source },
      target: { type: 'file', path: target },
    });
    await cluster.until(id, 'it maps its source', ({ phase }) => phase === 'mapping');
    await cluster.redis.kill();
    // The source is mapped by then, and what the job begins with cannot be recorded.
    await delay(6000);
    await slow.detach();
    await cluster.redis.start();
    const job = await cluster.ended(id);
    expect(job.error).to.equal(undefined);
    expect(job.state).to.equal('completed');
    expect(job.attempt, 'it was interrupted').to.be.greaterThan(1);
    await assertSameBytes(source, target);
  });
});

async function until(check: () => Promise<boolean>): Promise<void> {
  while (!(await check())) await delay(20);
}
