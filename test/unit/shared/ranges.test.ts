/** Packed ranges, found by bisection: checked against the plain way. */
import { expect } from 'chai';
import { overlap, pack, slice, touches, unpack } from '../../../shared/ranges.js';
import { Seeded } from '../../helpers/seeded.js';

describe('workers: packed ranges', () => {
  it('are what they were after packing', () => {
    const ranges = [
      { start: 0, length: 5 },
      { start: 2 ** 50, length: 7 },
    ];
    expect([...unpack(pack(ranges))]).to.deep.equal(ranges);
    expect([...unpack(pack([]))]).to.deep.equal([]);
  });

  it('tell what touches and what lies within any window', () => {
    const random = new Seeded(11);
    for (let round = 0; round < 300; round += 1) {
      const ranges: { start: number; length: number }[] = [];
      let at = random.below(20);
      for (let i = random.below(12); i > 0; i -= 1) {
        const length = random.between(1, 30);
        ranges.push({ start: at, length });
        at += length + random.below(20);
      }
      const start = random.below(at + 20);
      const stop = start + random.between(1, 60);
      const hit = ranges.filter((range) => range.start < stop && range.start + range.length > start);
      const packed = pack(ranges);
      const label = JSON.stringify({ ranges, start, stop });
      expect(touches(packed, start, stop), label).to.equal(hit.length > 0);
      expect([...unpack(slice(packed, start, stop))], label).to.deep.equal(hit);
      const inside = hit.map((range) => Math.min(range.start + range.length, stop) - Math.max(range.start, start));
      expect(overlap(packed, start, stop), label).to.equal(inside.reduce((sum, length) => sum + length, 0));
    }
  });
});
