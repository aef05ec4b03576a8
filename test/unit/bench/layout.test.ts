import { expect } from 'chai';
import { BLOCK, holesBetween, layOut, type Mix } from '../../../bench/storage/layout.js';
import { chooseMarkers } from '../../../bench/storage/markers.js';
import { end, GiB, KiB, MiB, totalLength } from '../../../shared/units.js';

const TYPICAL: Mix = {
  imageBytes: 6 * GiB,
  dataBytes: 1200 * MiB,
  segments: 2000,
  smallest: 4 * KiB,
  largest: 100 * MiB,
};
const STREWN: Mix = { imageBytes: 1024 * GiB, dataBytes: GiB, segments: 100_000, smallest: 4 * KiB, largest: 64 * KiB };

describe('layout of a made-up image', () => {
  for (const [name, mix] of Object.entries({ typical: TYPICAL, strewn: STREWN })) {
    it(`has as many segments as asked for, apart, on whole blocks, with exactly the data (${name})`, () => {
      const ranges = layOut(mix, 1);
      expect(ranges).to.have.length(mix.segments);
      expect(totalLength(ranges)).to.equal(mix.dataBytes);
      let before = -1;
      for (const range of ranges) {
        expect(range.start % BLOCK, 'start').to.equal(0);
        expect(range.length % BLOCK, 'length').to.equal(0);
        expect(range.start, 'apart from the one before').to.be.above(before);
        before = end(range);
      }
      expect(before).to.be.at.most(mix.imageBytes);
    });

    it(`mixes sizes between the smallest and the largest, and has both (${name})`, () => {
      const sizes = layOut(mix, 1).map(({ length }) => length);
      expect(Math.min(...sizes)).to.equal(mix.smallest);
      expect(Math.max(...sizes)).to.equal(mix.largest);
    });
  }

  it('is the same for the same seed and another one for another', () => {
    expect(layOut(TYPICAL, 7)).to.deep.equal(layOut(TYPICAL, 7));
    expect(layOut(TYPICAL, 7)).not.to.deep.equal(layOut(TYPICAL, 8));
  });

  it('refuses what cannot be', () => {
    expect(() => layOut({ ...TYPICAL, dataBytes: 7 * GiB }, 1)).to.throw(RangeError);
    expect(() => layOut({ ...TYPICAL, dataBytes: MiB }, 1)).to.throw(RangeError);
    expect(() => layOut({ ...TYPICAL, smallest: 1000 }, 1)).to.throw(RangeError, 'smallest');
  });
});

describe('places of stale bytes', () => {
  it('lie in holes only, also in the first and the last block', () => {
    const ranges = layOut(TYPICAL, 3);
    const holes = holesBetween(ranges, TYPICAL.imageBytes);
    expect(totalLength(holes) + TYPICAL.dataBytes).to.equal(TYPICAL.imageBytes);
    const places = chooseMarkers(holes, 3);
    expect(new Set(places)).to.have.length(256);
    for (const place of places) {
      const hole = holes.find((range) => place >= range.start && place + BLOCK <= end(range));
      expect(hole, `${place}`).not.to.equal(undefined);
    }
    expect(places[0]).to.equal(holes[0]?.start);
    expect(places.at(-1)).to.equal(TYPICAL.imageBytes - BLOCK);
  });

  it('are all there are where holes are few, and none without holes', () => {
    expect(chooseMarkers([{ start: 8192, length: 3 * BLOCK }], 1)).to.deep.equal([8192, 12288, 16384]);
    expect(chooseMarkers([], 1)).to.deep.equal([]);
  });
});
