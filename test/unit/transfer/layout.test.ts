/** From extents to steps: every byte exactly once, whatever the extents look like. */
import { expect } from 'chai';
import {
  alignRanges,
  copySteps,
  countSteps,
  cut,
  gaps,
  longest,
  STEP_BYTES,
  sum,
  zeroSteps,
} from '../../../services/transfer/layout.js';
import { pack, unpack } from '../../../shared/ranges.js';
import { alignDown, alignUp, end, GiB, KiB, MiB, type Range, totalLength } from '../../../shared/units.js';
import { Seeded } from '../../helpers/seeded.js';

describe('transfer: cut', () => {
  it('gives the first bytes of several ranges, and leaves the others', () => {
    const ranges = Float64Array.of(0, 100, 200, 100, 400, 100);
    const parts = (length: number) => cut(ranges, length).map((part) => [...part]);
    expect(parts(150)).to.deep.equal([
      [0, 100, 200, 50],
      [250, 50, 400, 100],
    ]);
    expect(parts(100)).to.deep.equal([
      [0, 100],
      [200, 100, 400, 100],
    ]);
    expect(parts(0)).to.deep.equal([[], [...ranges]]);
    expect(parts(1000)).to.deep.equal([[...ranges], []]);
  });
});

describe('transfer: alignRanges', () => {
  it('widens to whole units, but not behind the image', () => {
    expect(aligned([{ start: 5000, length: 10 }], 4096, 100_000, 0)).to.deep.equal([{ start: 4096, length: 4096 }]);
    expect(aligned([{ start: 5000, length: 10 }], 4096, 6000, 0)).to.deep.equal([{ start: 4096, length: 1904 }]);
  });

  it('joins what touches after widening', () => {
    const ranges = [
      { start: 0, length: 100 },
      { start: 5000, length: 100 },
      { start: 7000, length: 100 },
    ];
    expect(aligned(ranges, 4096, 100_000, 0)).to.deep.equal([{ start: 0, length: 8192 }]);
  });

  it('joins neighbours that lie closer than asked, and no others', () => {
    const ranges = [
      { start: 0, length: 4096 },
      { start: 65_536, length: 4096 },
      { start: 200_000 - (200_000 % 4096), length: 4096 },
    ];
    expect(aligned(ranges, 4096, MiB, 65_536)).to.deep.equal([
      { start: 0, length: 69_632 },
      { start: 196_608, length: 4096 },
    ]);
    expect(aligned(ranges, 4096, MiB, 61_440)).to.have.length(3);
  });

  it('covers all data, in order, apart, in whole units', () => {
    const random = new Seeded(21);
    for (let round = 0; round < 500; round += 1) {
      const { ranges, limit } = randomRanges(random);
      const unit = random.pick([512, 4096]);
      const joinBelow = random.pick([0, 4096, 65_536]);
      const out = aligned(ranges, unit, limit, joinBelow);
      const label = JSON.stringify({ ranges, limit, unit, joinBelow });
      for (const range of ranges) {
        expect(
          out.some((wide) => wide.start <= range.start && end(wide) >= end(range)),
          label,
        ).to.equal(true);
      }
      for (const [i, range] of out.entries()) {
        expect(range.start % unit, label).to.equal(0);
        expect(end(range) === limit || end(range) % unit === 0, label).to.equal(true);
        const before = out[i - 1];
        if (before !== undefined) expect(range.start - end(before), label).to.be.at.least(Math.max(joinBelow, 1));
      }
      // Nothing but data, its units, and gaps too short to keep.
      expect(sum(pack(out)), label).to.be.at.most(plainLength(ranges, unit, limit, joinBelow));
    }
  });
});

describe('transfer: gaps', () => {
  it('and ranges together cover everything once', () => {
    const random = new Seeded(22);
    for (let round = 0; round < 300; round += 1) {
      const { ranges, limit } = randomRanges(random);
      const holes = [...unpack(gaps(pack(ranges), limit))];
      assertPartition([...ranges, ...holes], limit);
    }
  });

  it('are all of an image without data, and none of one without holes', () => {
    expect([...unpack(gaps(pack([]), 77))]).to.deep.equal([{ start: 0, length: 77 }]);
    expect([...unpack(gaps(pack([{ start: 0, length: 77 }]), 77))]).to.deep.equal([]);
  });
});

describe('transfer: steps', () => {
  it('cover each byte exactly once, in order, and are bounded', () => {
    const random = new Seeded(23);
    for (let round = 0; round < 100; round += 1) {
      const { ranges } = randomRanges(random, random.pick([KiB, MiB, 100 * MiB]));
      for (const [steps, most] of [
        [copySteps, STEP_BYTES],
        [zeroSteps, 4 * GiB],
      ] as const) {
        const all = [...steps(pack(ranges))];
        const made = all.map((step) => [...unpack(step.ranges)]);
        expect(joined(made.flat())).to.deep.equal(joined(ranges));
        // Spans follow each other without a gap, and hold what their steps hold.
        let settled = 0;
        for (const step of all) {
          expect(step.span.start).to.equal(settled);
          settled = end(step.span);
          const inside = [...unpack(step.ranges)];
          expect(inside.every((range) => range.start >= step.span.start && end(range) <= settled)).to.equal(true);
          expect(step.length).to.equal(totalLength(inside));
        }
        for (const step of made) {
          expect(step.length).to.be.within(1, 1024);
          // The last range may cross the mark, and is no longer than a step itself.
          expect(step.reduce((total, range) => total + range.length, 0)).to.be.below(2 * most);
        }
      }
    }
  });

  it('of one long range end at multiples of 16 MiB', () => {
    const steps = [...copySteps(Float64Array.of(5 * MiB, 40 * MiB))].flatMap((step) => [...unpack(step.ranges)]);
    expect(steps).to.deep.equal([
      { start: 5 * MiB, length: 11 * MiB },
      { start: 16 * MiB, length: 16 * MiB },
      { start: 32 * MiB, length: 13 * MiB },
    ]);
  });

  it('become shorter or longer while they are made', () => {
    let most = 4 * MiB;
    const lengths: number[] = [];
    for (const step of copySteps(Float64Array.of(0, 40 * MiB), () => most)) {
      lengths.push(step.length / MiB);
      if (lengths.length === 2) most = 16 * MiB;
    }
    // The third goes on to a multiple of the new length.
    expect(lengths).to.deep.equal([4, 4, 24, 8]);
  });

  it('share one step among many small ranges', () => {
    const ranges = Array.from({ length: 3000 }, (_, i) => ({ start: i * 8192, length: 4096 }));
    expect(countSteps(copySteps(pack(ranges)))).to.equal(3);
    expect(countSteps(zeroSteps(pack(ranges)))).to.equal(3);
  });

  it('are none for nothing', () => {
    expect(countSteps(copySteps(pack([])))).to.equal(0);
  });
});

function aligned(ranges: Range[], unit: number, limit: number, joinBelow: number): Range[] {
  return [...unpack(alignRanges(pack(ranges), unit, limit, joinBelow))];
}

/** Ranges in order that do not touch, as SEEK_DATA gives them. */
function randomRanges(random: Seeded, scale = 200_000): { ranges: Range[]; limit: number } {
  const ranges: Range[] = [];
  let at = random.pick([0, random.below(scale)]);
  for (let i = random.below(20); i > 0; i -= 1) {
    const length = random.between(1, scale);
    ranges.push({ start: at, length });
    at += length + random.between(1, scale);
  }
  const last = ranges.at(-1);
  return { ranges, limit: Math.max(1, random.pick([at, last === undefined ? at : end(last)])) };
}

function plainLength(ranges: Range[], unit: number, limit: number, joinBelow: number): number {
  let total = 0;
  let covered = 0;
  for (const range of ranges) {
    const start = Math.max(alignDown(range.start, unit), covered);
    const stop = Math.min(alignUp(end(range), unit), limit);
    total += Math.max(0, stop - start) + (covered > 0 && start - covered < joinBelow ? start - covered : 0);
    covered = Math.max(covered, stop);
  }
  return total;
}

function assertPartition(parts: Range[], limit: number): void {
  expect(joined(parts)).to.deep.equal([{ start: 0, length: limit }]);
  expect(parts.reduce((total, part) => total + part.length, 0)).to.equal(limit);
}

/** Sorted, neighbours that touch joined; throws on an overlap. */
function joined(ranges: Range[]): Range[] {
  const out: Range[] = [];
  for (const range of ranges.toSorted((a, b) => a.start - b.start)) {
    const last = out.at(-1);
    if (last !== undefined && range.start < end(last)) throw new Error(`overlap at ${range.start}`);
    if (last !== undefined && range.start === end(last)) {
      out[out.length - 1] = { start: last.start, length: last.length + range.length };
    } else out.push({ ...range });
  }
  return out;
}

describe('transfer: where to measure', () => {
  it('finds the first range that is long enough, else the longest that is not much shorter, else none', () => {
    const ranges = Float64Array.of(0, 10, 100, 40, 200, 90, 400, 160, 1000, 500);
    expect(longest(ranges, 100)).to.deep.equal({ start: 400, length: 160 });
    expect(longest(ranges, 1000)).to.deep.equal({ start: 1000, length: 500 });
    expect(longest(ranges, 10_000)).to.equal(null);
    expect(longest(new Float64Array(), 1)).to.equal(null);
  });
});
