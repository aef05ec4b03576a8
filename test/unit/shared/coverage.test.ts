/** What is settled of a target, against a plain list of bytes. */
import { expect } from 'chai';
import { Coverage } from '../../../shared/coverage.js';
import { pack, unpack } from '../../../shared/ranges.js';
import type { Range } from '../../../shared/units.js';
import { Seeded } from '../../helpers/seeded.js';

const SIZE = 200;

describe('coverage', () => {
  it('joins what touches and keeps apart what does not, in whatever order it comes', () => {
    const coverage = new Coverage();
    for (const [start, length] of [
      [50, 10],
      [0, 10],
      [10, 5],
      [70, 10],
      [60, 10],
      [20, 0],
    ] as const) {
      coverage.add({ start, length });
    }
    expect(coverage.toPacked()).to.deep.equal([0, 15, 50, 30]);
  });

  it('leaves of any ranges just the bytes that are not settled, as a list of bytes does', () => {
    const random = new Seeded(7);
    for (let round = 0; round < 300; round += 1) {
      const settled = Array.from({ length: random.below(8) }, () => randomRange(random));
      const coverage = new Coverage();
      for (const range of settled) coverage.add(range);
      const packed = coverage.toPacked();
      expect(new Coverage(packed).toPacked()).to.deep.equal(packed);
      expect(bytesOf([...unpack(Float64Array.from(packed))])).to.deep.equal(bytesOf(settled));
      expect(new Coverage(packed).bytes).to.equal(new Set(bytesOf(settled)).size);
      const wanted = apart(Array.from({ length: random.below(8) }, () => randomRange(random)));
      const left = [...unpack(coverage.rest(pack(wanted)))];
      const known = new Set(bytesOf(settled));
      expect(bytesOf(left)).to.deep.equal(bytesOf(wanted).filter((byte) => !known.has(byte)));
      expect(left.every((range) => range.length > 0)).to.equal(true);
    }
  });

  it('takes many ranges at once as one by one', () => {
    const random = new Seeded(8);
    for (let round = 0; round < 300; round += 1) {
      const [together, single] = [new Coverage(), new Coverage()];
      for (let more = 0; more < 3; more += 1) {
        const given = new Coverage();
        for (let count = random.below(8); count > 0; count -= 1) given.add(randomRange(random));
        together.addAll(given.toPacked());
        for (const range of unpack(Float64Array.from(given.toPacked()))) single.add(range);
        expect(together.toPacked()).to.deep.equal(single.toPacked());
        expect(together.bytes).to.equal(single.bytes);
      }
    }
  });

  it('stays small while the steps of a large image end nearly in order', () => {
    const coverage = new Coverage();
    for (let step = 0; step < 100_000; step += 4) {
      for (const at of [step + 1, step + 3, step, step + 2]) coverage.add({ start: at * 16, length: 16 });
      expect(coverage.toPacked().length).to.be.at.most(8);
    }
    expect(coverage.toPacked()).to.deep.equal([0, 1_600_000]);
  });
});

function randomRange(random: Seeded): Range {
  const start = random.below(SIZE);
  return { start, length: random.below(SIZE - start) };
}

/** In order, without overlaps. */
function apart(ranges: Range[]): Range[] {
  const out: Range[] = [];
  let position = 0;
  for (const range of ranges.toSorted((a, b) => a.start - b.start)) {
    const start = Math.max(range.start, position);
    const length = range.start + range.length - start;
    if (length <= 0) continue;
    out.push({ start, length });
    position = start + length;
  }
  return out;
}

function bytesOf(ranges: Range[]): number[] {
  const bytes = new Set<number>();
  for (const { start, length } of ranges) for (let at = start; at < start + length; at += 1) bytes.add(at);
  return [...bytes].sort((a, b) => a - b);
}
