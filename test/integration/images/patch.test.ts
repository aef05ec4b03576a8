/** PATCH: zeroing ranges and flushing. Which storage calls do it is seen by what is allocated afterwards. */
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { allocatedBytes, assertZero, fill, patternBytes, readRange } from '../../helpers/bytes.js';
import { DataPlane } from '../../helpers/data-plane.js';
import { attachLoop, hasLoopDevices, type LoopDevice, needsLoop } from '../../helpers/loop.js';
import { type MountedFileSystem, mountFileSystem } from '../../helpers/mounts.js';
import { expectEmpty, expectError, json } from './expectations.js';

const KiB = 1024;
const MiB = 1024 * KiB;
const SIZE = 100_000;

describe('PATCH /images/{id}', function () {
  this.timeout(30_000);
  let plane: DataPlane;
  before(async () => {
    plane = await DataPlane.shared();
  });

  const patch = (url: string, body: unknown) =>
    plane.request({ method: 'PATCH', path: url, body: typeof body === 'string' ? body : json(body) });

  for (const sparse of [true, false]) {
    for (const [offset, size] of [
      [0, SIZE],
      [0, 1],
      [511, 2],
      [4095, 4098],
      [4096, 8192],
      [12_345, 54_321],
      [SIZE - 1, 1],
      [50, 0],
      [SIZE, 0],
    ] as const) {
      it(`zeroes ${size} bytes at ${offset} and nothing beside them (${sparse ? 'sparse' : 'allocated'})`, async () => {
        const image = await plane.image(patternBytes(9, SIZE), { sparse });
        expectEmpty(await patch(image.url, { op: 'zero', offset, size }));
        const wanted = patternBytes(9, SIZE).fill(0, offset, offset + size);
        expect((await image.read()).equals(wanted)).to.equal(true);
      });
    }

    it(`lets a file grow (${sparse ? 'sparse' : 'allocated'})`, async () => {
      const image = await plane.image(Buffer.alloc(1000, 'x'), { sparse, size: SIZE });
      expectEmpty(await patch(image.url, { op: 'zero', offset: 500, size: SIZE - 500 }));
      const content = await image.read();
      expect(content.equals(Buffer.alloc(SIZE).fill('x', 0, 500))).to.equal(true);
    });
  }

  it('begins at 0 when no offset is given, and ignores unknown keys', async () => {
    const image = await plane.image(Buffer.alloc(1000, 'x'));
    expectEmpty(await patch(image.url, { op: 'zero', size: 10, color: 'red', flush: false }));
    expect((await image.read()).equals(Buffer.alloc(1000, 'x').fill(0, 0, 10))).to.equal(true);
    expectEmpty(await patch(image.url, { op: 'flush' }));
  });

  for (const [offset, size] of [
    [0, SIZE + 1],
    [SIZE, 1],
    [SIZE - 1, 2],
    [2 ** 53 - 1, 1],
    [0, 2 ** 53 - 1],
  ] as const) {
    it(`answers 416 to ${size} bytes at ${offset} of ${SIZE}, and zeroes nothing`, async () => {
      const image = await plane.image(patternBytes(9, SIZE));
      expectError(await patch(image.url, { op: 'zero', offset, size }), 416);
      expect((await image.read()).equals(patternBytes(9, SIZE))).to.equal(true);
    });
  }

  const bad = [
    '',
    '{',
    'zero',
    '[]',
    '"zero"',
    'null',
    '1',
    ...[
      {},
      { op: 'fly' },
      { op: 1 },
      { op: null, size: 1 },
      { op: 'ZERO', size: 1 },
      { size: 1 },
      { op: 'zero' },
      { op: 'zero', size: -1 },
      { op: 'zero', size: 1.5 },
      { op: 'zero', size: '1' },
      { op: 'zero', size: null },
      { op: 'zero', size: 1, offset: -1 },
      { op: 'zero', size: 1, offset: 0.5 },
      { op: 'zero', size: 1, offset: '0' },
      { op: 'zero', size: 1, flush: 'y' },
      { op: 'zero', size: 1, flush: 1 },
    ].map(json),
  ];
  for (const body of bad) {
    it(`answers 400 to the body ${body === '' ? '(none)' : body}, before it looks at the ticket`, async () => {
      const image = await plane.image(Buffer.alloc(512, 'x'));
      expectError(await patch(image.url, body), 400);
      expectError(await patch('/images/unknown', body), 400);
      expect((await image.read()).equals(Buffer.alloc(512, 'x'))).to.equal(true);
    });
  }

  it('answers 4xx to an endless body', async () => {
    await using connection = await plane.connect();
    const body = `{"op":"zero","size":1,"x":"${'x'.repeat(8 * MiB)}"}`;
    const answer = await connection.request({ method: 'PATCH', path: '/images/unknown', body });
    expect(answer.status).to.be.within(400, 499);
    expectError(answer, answer.status);
  });

  describe('and the space of the image', () => {
    let fs: MountedFileSystem;
    let loop: LoopDevice;
    let own: DataPlane;
    before(async () => {
      if (!hasLoopDevices) return;
      [fs, loop] = [await mountFileSystem('ext4'), await attachLoop({ size: 4 * MiB })];
      own = await DataPlane.start({ roots: [fs.path, loop.path] });
    });
    after(async () => {
      await own?.[Symbol.asyncDispose]();
      await loop?.release();
      await fs?.release();
    });

    const zero = async (path: string, sparse: boolean, offset: number, size: number) => {
      const { url } = await own.imageAt(path, { size: 4 * MiB, sparse });
      const body = json({ op: 'zero', offset, size, flush: true });
      expectEmpty(await own.request({ method: 'PATCH', path: url, body }));
    };

    needsLoop('a file gives back when the ticket is sparse, and reserves when not', async () => {
      const path = join(fs.path, 'image');
      await writeFile(path, patternBytes(0, 4 * MiB));
      await zero(path, true, MiB + 1, 2 * MiB);
      expect(await allocatedBytes(path)).to.be.within(2 * MiB, 2 * MiB + 64 * KiB);
      await zero(path, false, 0, 4 * MiB);
      expect(await allocatedBytes(path)).to.be.at.least(4 * MiB);
      await assertZero(path, 0, 4 * MiB);
      // What a sparse file grows by takes no space; what another grows by does.
      await truncate(path, 0);
      await zero(path, true, 0, 3 * MiB);
      expect(await allocatedBytes(path)).to.be.below(64 * KiB);
      await zero(path, false, 3 * MiB, MiB);
      expect(await allocatedBytes(path)).to.be.within(MiB, MiB + 64 * KiB);
      await assertZero(path, 0, 4 * MiB);
    });

    needsLoop('a block device gives back when the ticket is sparse, and reserves when not', async () => {
      await fill(loop.path, { start: 0, length: 4 * MiB });
      await zero(loop.path, false, 0, MiB + 1);
      expect(await allocatedBytes(loop.backing)).to.be.at.least(4 * MiB);
      await zero(loop.path, true, 2 * MiB + 1, MiB);
      expect(await allocatedBytes(loop.backing)).to.be.within(3 * MiB, 3 * MiB + 64 * KiB);
      const wanted = patternBytes(0, 4 * MiB)
        .fill(0, 0, MiB + 1)
        .fill(0, 2 * MiB + 1, 3 * MiB + 1);
      expect((await readRange(loop.path, 0, 4 * MiB)).equals(wanted)).to.equal(true);
    });
  });
});
