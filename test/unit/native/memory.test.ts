/** isZero, copyBytes and alignmentOffset. */
import { expect } from 'chai';
import { loadNative } from '../../../workers/native/index.js';
import { expectChecked } from './expect-error.js';

const native = loadNative();

describe('native isZero', () => {
  for (const memory of [ArrayBuffer, SharedArrayBuffer]) {
    it(`sees a single bit at any place, at any length and alignment, in a ${memory.name}`, () => {
      const buffer = new Uint8Array(new memory(400));
      for (const length of [0, 1, 7, 8, 9, 63, 64, 65, 127, 128, 129, 200, 300]) {
        for (const offset of [0, 1, 3, 8, 63, 64, 65]) {
          expect(native.isZero(buffer, offset, length)).to.equal(true);
          for (let at = 0; at < length; at++) {
            buffer[offset + at] = 0x80;
            expect(native.isZero(buffer, offset, length), `${offset}+${length} at ${at}`).to.equal(false);
            buffer[offset + at] = 0;
          }
          // The neighbours are none of its business.
          if (offset > 0) buffer[offset - 1] = 1;
          buffer[offset + length] = 1;
          expect(native.isZero(buffer, offset, length)).to.equal(true);
          buffer.fill(0);
        }
      }
    });
  }

  it('stays inside the buffer and checks its arguments', () => {
    const buffer = new Uint8Array(16);
    expect(native.isZero(new Uint8Array(0), 0, 0)).to.equal(true);
    expect(() => native.isZero(buffer, 8, 9)).to.throw(RangeError, 'offset + length must lie inside the buffer of 16');
    expect(() => native.isZero([0] as never, 0, 1)).to.throw(TypeError, 'buffer must be a Uint8Array');
    expectChecked(native.isZero, [buffer, 0, 16], [null, 'offset', 'length']);
  });
});

describe('native copyBytes', () => {
  it('copies into shared memory at any alignment of either, and touches no neighbour', () => {
    const from = Uint8Array.from({ length: 300 }, (_, at) => (at % 255) + 1);
    for (const length of [0, 1, 7, 8, 63, 64, 200]) {
      for (const [toOffset, fromOffset] of [
        [0, 0],
        [1, 0],
        [0, 3],
        [5, 9],
      ] as const) {
        const to = new Uint8Array(new SharedArrayBuffer(300));
        native.copyBytes(to, toOffset, from, fromOffset, length);
        const expected = new Uint8Array(300);
        expected.set(from.subarray(fromOffset, fromOffset + length), toOffset);
        expect(Buffer.from(to).equals(expected), `${length} from ${fromOffset} to ${toOffset}`).to.equal(true);
      }
    }
  });

  it('stays inside both buffers and checks its arguments', () => {
    const [to, from] = [new Uint8Array(16), new Uint8Array(16)];
    expect(() => native.copyBytes(to, 8, from, 0, 9)).to.throw(RangeError, 'toOffset + length must lie inside');
    expect(() => native.copyBytes(to, 0, from, 8, 9)).to.throw(RangeError, 'offset + length must lie inside');
    expect(() => native.copyBytes([0] as never, 0, from, 0, 1)).to.throw(TypeError, 'to must be a Uint8Array');
    expectChecked(native.copyBytes, [to, 0, from, 0, 16], [null, 'toOffset', null, 'offset', 'length']);
    expect(to).to.deep.equal(new Uint8Array(16));
  });
});

describe('native alignmentOffset', () => {
  for (const memory of [ArrayBuffer, SharedArrayBuffer]) {
    it(`leads to an aligned address in a ${memory.name}`, () => {
      const buffer = new Uint8Array(new memory(3 * 4096));
      for (const alignment of [1, 512, 4096]) {
        const offset = native.alignmentOffset(buffer, alignment);
        expect(offset).to.be.within(0, alignment - 1);
        // From there the address is aligned, and one byte further the distance is one less than a whole unit.
        expect(native.alignmentOffset(buffer.subarray(offset), alignment)).to.equal(0);
        expect(native.alignmentOffset(buffer.subarray(offset + 1), alignment)).to.equal(alignment - 1);
      }
    });
  }

  it('wants a power of two', () => {
    const buffer = new Uint8Array(16);
    for (const bad of [0, 3, 4095, 4097]) {
      expect(() => native.alignmentOffset(buffer, bad)).to.throw(RangeError, 'alignment must be a power of two');
    }
    expect(() => native.alignmentOffset(new Uint16Array(4) as never, 512)).to.throw(TypeError, 'buffer must be');
    expectChecked(native.alignmentOffset, [buffer, 512], [null, 'alignment']);
  });
});
