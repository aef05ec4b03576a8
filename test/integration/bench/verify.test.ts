import { copyFile, open, truncate } from 'node:fs/promises';
import { expect } from 'chai';
import { writeImage } from '../../../bench/storage/image.js';
import { BLOCK, holesBetween } from '../../../bench/storage/layout.js';
import { chooseMarkers, writeMarkers } from '../../../bench/storage/markers.js';
import { findDifference, findStale } from '../../../bench/storage/verify.js';
import { MiB, type Range } from '../../../shared/units.js';
import { tempDir } from '../../helpers/temp.js';

/** No whole number of blocks: its last bytes cannot be read by direct I/O alone. */
const SIZE = 32 * MiB + 1000;
const DATA: Range[] = [
  { start: 0, length: BLOCK },
  { start: 3 * MiB, length: 9 * MiB },
  { start: 32 * MiB, length: 1000 },
];
const { signal } = new AbortController();

describe('verification of a copy', () => {
  async function imageAndCopy() {
    const directory = await tempDir();
    const [source, target] = [directory.join('source.img'), directory.join('target.img')];
    const zeroes = holesBetween(DATA, SIZE);
    await writeImage({ path: source, size: SIZE, data: DATA, zeroes }, 1, signal);
    await copyFile(source, target);
    const check = async () => await findDifference(source, target, SIZE, signal);
    return { directory, source, target, zeroes, check, [Symbol.asyncDispose]: directory[Symbol.asyncDispose] };
  }

  async function write(path: string, bytes: Buffer, at: number): Promise<void> {
    await using file = await open(path, 'r+');
    await file.write(bytes, 0, bytes.length, at);
  }

  it('finds nothing in a true copy, sparse or not', async () => {
    await using copy = await imageAndCopy();
    expect(await copy.check()).to.equal(null);
    await write(copy.target, Buffer.alloc(MiB), 20 * MiB);
    expect(await copy.check(), 'zeroes that were written').to.equal(null);
  });

  it('finds each of the stale blocks', async () => {
    await using copy = await imageAndCopy();
    const places = chooseMarkers(copy.zeroes, 1);
    expect(await findStale(copy.target, places)).to.equal(null);
    for (const place of [places[0], places[100], places.at(-1)] as number[]) {
      await writeMarkers(copy.target, [place]);
      expect(await copy.check()).to.equal(`byte ${place} is 165, not 0`);
      expect(await findStale(copy.target, places)).to.include(`${place}`);
      await write(copy.target, Buffer.alloc(BLOCK), place);
    }
    expect(await copy.check()).to.equal(null);
  });

  it('finds a flipped bit, also in the last byte', async () => {
    await using copy = await imageAndCopy();
    for (const at of [5 * MiB + 17, SIZE - 1]) {
      await using file = await open(copy.target, 'r+');
      const byte = Buffer.alloc(1);
      await file.read(byte, 0, 1, at);
      await file.write(Buffer.of((byte[0] as number) ^ 1), 0, 1, at);
      expect(await copy.check()).to.match(new RegExp(`^byte ${at} is `));
      await file.write(byte, 0, 1, at);
    }
    expect(await copy.check()).to.equal(null);
  });

  it('finds data that was never written, and a missing tail', async () => {
    await using copy = await imageAndCopy();
    await truncate(copy.target, 10 * MiB);
    expect(await copy.check()).to.equal(`it is ${10 * MiB} bytes long, not ${SIZE}`);
    await truncate(copy.target, SIZE);
    expect(await copy.check()).to.match(/^byte \d+ is 0, not \d+$/);
  });

  it('without a source, finds whatever is not zero', async () => {
    await using directory = await tempDir();
    const target = directory.join('target.img');
    await writeImage({ path: target, size: SIZE, data: DATA, zeroes: [] }, 'zeroes', signal);
    expect(await findDifference(null, target, SIZE, signal)).to.equal(null);
    await writeMarkers(target, [7 * MiB]);
    expect(await findDifference(null, target, SIZE, signal)).to.equal(`byte ${7 * MiB} is 165, not 0`);
  });
});
