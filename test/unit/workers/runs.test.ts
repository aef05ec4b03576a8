/** Runs of data and zeroes: they cover what was read, and a run that is called zeroes is zeroes. */
import { expect } from 'chai';
import { KiB } from '../../../shared/units.js';
import { loadNative } from '../../../workers/native/index.js';
import { runsOf } from '../../../workers/storage/runs.js';
import { Seeded } from '../../helpers/seeded.js';

const GRANULE = 64 * KiB;
const io = loadNative();

describe('runs of data and zeroes', () => {
  it('are cut at multiples of 64 KiB of the image, not of the buffer', () => {
    const bytes = Buffer.alloc(3 * GRANULE);
    bytes[GRANULE] = 1;
    // The buffer begins 100 bytes behind a border: byte GRANULE is in the second granule that it touches.
    expect([...runsOf(io, bytes, bytes.length, 100)]).to.deep.equal([
      { offset: 0, length: GRANULE - 100, isZero: true },
      { offset: GRANULE - 100, length: GRANULE, isZero: false },
      { offset: 2 * GRANULE - 100, length: GRANULE + 100, isZero: true },
    ]);
  });

  it('are none of nothing', () => {
    expect([...runsOf(io, Buffer.alloc(0), 0, 5)]).to.deep.equal([]);
  });

  it('of random buffers cover them without gaps, alternate, and lose no byte that is not zero', () => {
    const random = new Seeded(7);
    for (let round = 0; round < 50; round += 1) {
      const length = random.between(1, 6 * GRANULE);
      const bytes = Buffer.alloc(length);
      for (let n = random.below(4); n > 0; n -= 1) bytes[random.below(length)] = 1;
      let at = 0;
      let before: boolean | null = null;
      for (const { offset, length: part, isZero } of runsOf(io, bytes, length, random.below(10 * GRANULE))) {
        expect(offset).to.equal(at);
        expect(part).to.be.greaterThan(0);
        expect(isZero).to.not.equal(before);
        expect(bytes.subarray(offset, offset + part).every((byte) => byte === 0)).to.equal(isZero);
        at = offset + part;
        before = isZero;
      }
      expect(at).to.equal(length);
    }
  });
});
