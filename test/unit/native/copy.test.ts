/** copyFileRange, clone, cloneRange: copies inside the kernel, on file systems with and without reflinks. */
import { expect } from 'chai';
import { loadNative } from '../../../workers/native/index.js';
import { assertSameBytes, makeImage, patternBytes, readRange } from '../../helpers/bytes.js';
import { mountFileSystem, needsFileSystem } from '../../helpers/mounts.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';
import { expectChecked, expectErrno, NO_FD, O_CREAT, O_RDONLY, O_RDWR } from './expect-error.js';

const native = loadNative();
const MiB = 1024 * 1024;

/** Makes an image of 4 MiB of data, opens it and an empty file beside it, and closes both afterwards. */
async function withPair(folder: string, body: (fdIn: number, fdOut: number) => unknown): Promise<void> {
  await makeImage(`${folder}/in`, 4 * MiB, [{ start: 0, length: 4 * MiB, seed: 5 }]);
  const fdIn = native.open(`${folder}/in`, O_RDONLY);
  const fdOut = native.open(`${folder}/out`, O_RDWR | O_CREAT);
  try {
    await body(fdIn, fdOut);
  } finally {
    native.close(fdIn);
    native.close(fdOut);
  }
}

describe('native copies', () => {
  let dir: TempDir;
  beforeEach(async () => {
    dir = await tempDir();
  });
  afterEach(() => dir.release());

  it('copyFileRange copies between positions, fewer at the end, 0 behind it', async () => {
    await withPair(dir.path, async (fdIn, fdOut) => {
      expect(native.copyFileRange(fdIn, MiB, fdOut, 100, 2 * MiB)).to.equal(2 * MiB);
      const expected = patternBytes(5, 4 * MiB).subarray(MiB, 3 * MiB);
      expect((await readRange(dir.join('out'), 100, 2 * MiB)).equals(expected)).to.equal(true);
      expect(native.copyFileRange(fdIn, 4 * MiB - 10, fdOut, 0, MiB)).to.equal(10);
      expect(native.copyFileRange(fdIn, 4 * MiB, fdOut, 0, MiB)).to.equal(0);
    });
  });

  it('copyFileRange raises what the kernel says', async () => {
    await withPair(dir.path, (fdIn, fdOut) => {
      expectErrno('EBADF', 'copy_file_range', () => native.copyFileRange(NO_FD, 0, fdOut, 0, 1));
      expectErrno('EBADF', 'copy_file_range', () => native.copyFileRange(fdIn, 0, NO_FD, 0, 1));
      // A file onto itself where the ranges overlap.
      native.ftruncate(fdOut, 100);
      expectErrno('EINVAL', 'copy_file_range', () => native.copyFileRange(fdOut, 0, fdOut, 1, 10));
      const names = ['fdIn', 'startIn', 'fdOut', 'startOut', 'length'];
      expectChecked(native.copyFileRange, [fdIn, 0, fdOut, 0, 1], names);
    });
  });

  for (const type of ['xfs', 'btrfs'] as const) {
    needsFileSystem(type)(`clone and cloneRange share the blocks on ${type}`, async () => {
      await using fs = await mountFileSystem(type);
      await withPair(fs.path, async (fdIn, fdOut) => {
        native.clone(fdOut, fdIn);
        await assertSameBytes(`${fs.path}/in`, `${fs.path}/out`);
        native.cloneRange(fdOut, 8 * MiB, fdIn, MiB, 2 * MiB);
        const expected = patternBytes(5, 4 * MiB).subarray(MiB, 3 * MiB);
        expect((await readRange(`${fs.path}/out`, 8 * MiB, 2 * MiB)).equals(expected)).to.equal(true);
        // Reflinks are made of whole blocks.
        expectErrno('EINVAL', 'ioctl(FICLONERANGE)', () => native.cloneRange(fdOut, 100, fdIn, 0, 4096));
      });
    });
  }

  needsFileSystem('ext4')('clone is EOPNOTSUPP where there are no reflinks', async () => {
    await using fs = await mountFileSystem('ext4');
    await withPair(fs.path, (fdIn, fdOut) => {
      expectErrno('EOPNOTSUPP', 'ioctl(FICLONE)', () => native.clone(fdOut, fdIn));
      expectErrno('EOPNOTSUPP', 'ioctl(FICLONERANGE)', () => native.cloneRange(fdOut, 0, fdIn, 0, 4096));
    });
  });

  needsFileSystem('xfs')('clone is EXDEV from one file system to another', async () => {
    await using source = await mountFileSystem('xfs');
    await using target = await mountFileSystem('xfs');
    await withPair(source.path, (fdIn) => {
      const elsewhere = native.open(`${target.path}/out`, O_RDWR | O_CREAT);
      try {
        expectErrno('EXDEV', 'ioctl(FICLONE)', () => native.clone(elsewhere, fdIn));
      } finally {
        native.close(elsewhere);
      }
    });
  });

  it('clone and cloneRange check their arguments', () => {
    expectErrno('EBADF', 'ioctl(FICLONE)', () => native.clone(NO_FD, NO_FD));
    expectErrno('EBADF', 'ioctl(FICLONERANGE)', () => native.cloneRange(NO_FD, 0, NO_FD, 0, 4096));
    expectChecked(native.clone, [NO_FD, NO_FD], ['fdOut', 'fdIn']);
    const names = ['fdOut', 'startOut', 'fdIn', 'startIn', 'length'];
    expectChecked(native.cloneRange, [NO_FD, 0, NO_FD, 0, 4096], names);
  });
});
