/** The queue server is killed and started again in the middle of a batch: nothing is lost and nothing fails. */
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import type { BatchRequestInput } from '../../shared/schemas/batch.js';
import { assertSameBytes, makeImage } from '../helpers/bytes.js';
import { Cluster } from '../helpers/cluster.js';
import { type TempDir, tempDir } from '../helpers/temp.js';

const MiB = 1024 * 1024;
const SIZE = 24 * MiB;
const DISKS = 12;

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

async function until(check: () => Promise<boolean>): Promise<void> {
  while (!(await check())) await delay(20);
}
