/**
 * Threads that write and zero neighbouring bytes of one sector, and neighbouring sectors of one page, at the
 * same time never lose each other's bytes.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect } from 'chai';
import type { Range } from '../../../shared/units.js';
import type { HammerData } from '../../fixtures/hammer.js';
import { readRange } from '../../helpers/bytes.js';
import { Seeded } from '../../helpers/seeded.js';
import { type OpenedTarget, SUBJECTS } from '../../helpers/targets.js';

const THREADS = 6;
const SIZE = 40_000;

describe('workers: neighbours', function () {
  this.timeout(60_000);

  for (const subject of SUBJECTS) {
    subject.declare(`on ${subject.name}: many threads in one sector lose nothing`, async () => {
      await using target = await subject.open(SIZE);
      await hammerAll(target, cut(new Seeded(1), 0, 2048, 3, 120), 60);
    });

    subject.declare(`on ${subject.name}: whole sectors beside parts of sectors lose nothing`, async () => {
      await using target = await subject.open(SIZE);
      const segments = cut(new Seeded(2), 0, target.handle.size, 200, 6000, 512);
      await hammerAll(target, segments, 60);
    });
  }
});

/** Cuts [start, stop) into segments; about half of the cuts lie on multiples of `unit`. */
function cut(random: Seeded, start: number, stop: number, least: number, most: number, unit = 1): Range[] {
  const segments: Range[] = [];
  for (let at = start; at < stop; ) {
    let next = at + random.between(least, most);
    if (unit > 1 && random.below(2) === 0) next = Math.max(Math.ceil(next / unit) * unit, at + 1);
    segments.push({ start: at, length: Math.min(next, stop) - at });
    at = Math.min(next, stop);
  }
  return segments;
}

async function hammerAll(
  { handle, readable }: OpenedTarget,
  segments: readonly Range[],
  rounds: number,
): Promise<void> {
  const start = new SharedArrayBuffer(4);
  const ended = Array.from({ length: THREADS }, async (_, thread) => {
    const own = segments.filter((_segment, index) => index % THREADS === thread);
    const workerData: HammerData = { handle, segments: own, rounds, seed: 1000 + thread, start };
    const worker = new Worker(new URL('../../fixtures/hammer.js', import.meta.url), { workerData });
    const [[damage]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')]);
    return damage as string | null;
  });
  Atomics.store(new Int32Array(start), 0, 1);
  Atomics.notify(new Int32Array(start), 0);
  expect(await Promise.all(ended)).to.deep.equal(Array(THREADS).fill(null));
  // Every owner's last write was 0xff, so all of it is.
  const first = segments[0]?.start ?? 0;
  const length = segments.reduce((sum, segment) => sum + segment.length, 0);
  const found = await readRange(readable, first, length);
  expect(found.findIndex((byte) => byte !== 0xff)).to.equal(-1);
}
