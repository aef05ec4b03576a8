/** Which ranges of a source hold data. Real files with real holes; the file system decides what a hole is. */
import { statfs } from 'node:fs/promises';
import { expect } from 'chai';
import { FerryError } from '../../../shared/errors.js';
import { unpack } from '../../../shared/ranges.js';
import { KiB, MiB, type Range } from '../../../shared/units.js';
import { loadNative } from '../../../workers/native/index.js';
import { dataExtents } from '../../../workers/storage/extents.js';
import { makeImage, type Segment } from '../../helpers/bytes.js';
import { failure } from '../../helpers/failure.js';
import { FaultyIo } from '../../helpers/faulty-io.js';
import { attachLoop, needsLoop } from '../../helpers/loop.js';
import { mountFileSystem, needsFileSystem } from '../../helpers/mounts.js';
import { tempDir } from '../../helpers/temp.js';

const TYPES = ['ext4', 'xfs', 'btrfs', 'tmpfs', 'ext2'] as const;

const PATTERNS: readonly { readonly name: string; readonly size: number; readonly data: readonly Segment[] }[] = [
  { name: 'data in the middle', size: 16 * MiB, data: [{ start: 4 * MiB, length: 2 * MiB }] },
  {
    name: 'data at both ends',
    size: 16 * MiB,
    data: [
      { start: 0, length: MiB },
      { start: 15 * MiB, length: MiB },
    ],
  },
  { name: 'a trailing hole', size: 16 * MiB, data: [{ start: 0, length: MiB }] },
  { name: 'nothing but a hole', size: 16 * MiB, data: [] },
  { name: 'no hole', size: 2 * MiB, data: [{ start: 0, length: 2 * MiB }] },
  {
    name: 'an odd size',
    size: 8 * MiB + 777,
    data: [
      { start: MiB, length: 64 * KiB },
      { start: 8 * MiB, length: 777 },
    ],
  },
];

describe('workers: extents', function () {
  this.timeout(60_000);

  for (const type of TYPES) {
    for (const { name, size, data } of PATTERNS) {
      needsFileSystem(type)(`of a file on ${type} with ${name}`, async () => {
        await using fs = await mountFileSystem(type);
        const path = `${fs.path}/image`;
        await makeImage(path, size, data);
        expect(await extents(path, size)).to.deep.equal(data.map(({ start, length }) => ({ start, length })));
      });
    }
  }

  needsLoop('of a block device: one, all of it', async () => {
    await using device = await attachLoop({ size: 4 * MiB });
    expect(await extents(device.path, 4 * MiB)).to.deep.equal([{ start: 0, length: 4 * MiB }]);
  });

  it('of a file system that cannot tell holes: one, all of it', async () => {
    await using dir = await tempDir();
    await makeImage(dir.join('image'), 4 * MiB, []);
    const faulty = new FaultyIo().refuse('dataRanges', 'EINVAL');
    expect(await extents(dir.join('image'), 4 * MiB, faulty)).to.deep.equal([{ start: 0, length: 4 * MiB }]);
  });

  it('end where they are asked to end, however long the file has become', async () => {
    await using dir = await tempDir();
    await makeImage(dir.join('image'), 4 * MiB, [{ start: 0, length: 4 * MiB }]);
    expect(await extents(dir.join('image'), MiB + 5)).to.deep.equal([{ start: 0, length: MiB + 5 }]);
  });

  needsFileSystem('ext4')('are all found when there are a hundred thousand', async () => {
    const count = 100_000;
    await using fs = await mountFileSystem('ext4', 300 * MiB);
    const path = `${fs.path}/image`;
    const block = (await statfs(fs.path)).bsize;
    const io = loadNative();
    const fd = io.open(path, io.constants.O_RDWR | io.constants.O_CREAT);
    io.ftruncate(fd, count * 2 * block);
    for (let i = 0; i < count; i += 1) io.pwrite(fd, Uint8Array.of(1), 0, 1, i * 2 * block);
    io.close(fd);
    const found = await extents(path, count * 2 * block);
    expect(found).to.have.length(count);
    const wrong = found.findIndex((range, i) => range.start !== i * 2 * block || range.length !== block);
    expect(wrong).to.equal(-1);
  });

  it('report a file that the call says was cut while they were listed', async () => {
    await using dir = await tempDir();
    const path = dir.join('image');
    await makeImage(path, 4 * MiB, [{ start: 2 * MiB, length: 2 * MiB }]);
    // It happens between the two seeks of one range, where a test can put nothing: what the call says of it is made up.
    const faulty = new FaultyIo().refuse('dataRanges', 'ENXIO');
    expect((await failure(() => extents(path, 4 * MiB, faulty))).code).to.equal('SOURCE_CHANGED');
  });

  it('report an I/O error with its errno', async () => {
    await using dir = await tempDir();
    await makeImage(dir.join('image'), MiB, [{ start: 0, length: MiB }]);
    const error = await failure(() => extents(dir.join('image'), MiB, new FaultyIo().refuse('dataRanges', 'EIO')));
    expect(error.code).to.equal('STORAGE_IO');
    expect(error.details).to.include({ errno: 5, syscall: 'dataRanges', path: dir.join('image') });
  });

  it('stop being listed when they are asked to stop', async () => {
    await using dir = await tempDir();
    await makeImage(dir.join('image'), MiB, [{ start: 0, length: MiB }]);
    const stop = () => {
      throw new FerryError('CANCELED', 'stop');
    };
    expect((await failure(() => extents(dir.join('image'), MiB, new FaultyIo(), stop))).code).to.equal('CANCELED');
  });
});

async function extents(path: string, size: number, faulty?: FaultyIo, check?: () => void): Promise<Range[]> {
  const io = faulty?.io ?? loadNative();
  const fd = io.open(path, io.constants.O_RDONLY);
  try {
    return [...unpack(dataExtents(io, { fd, path }, size, check))];
  } finally {
    io.close(fd);
  }
}
