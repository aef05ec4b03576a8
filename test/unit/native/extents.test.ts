/** dataRanges, seekEnd: where data and holes of a real sparse file begin. */
import { open } from 'node:fs/promises';
import { expect } from 'chai';
import { loadNative } from '../../../workers/native/index.js';
import { makeImage } from '../../helpers/bytes.js';
import { FILE_SYSTEM_TYPES, mountFileSystem, needsFileSystem } from '../../helpers/mounts.js';
import { tempDir } from '../../helpers/temp.js';
import { expectChecked, expectErrno, NO_FD, O_RDONLY } from './expect-error.js';

const native = loadNative();
const MiB = 1024 * 1024;

describe('native seeks', () => {
  for (const type of FILE_SYSTEM_TYPES) {
    needsFileSystem(type)(`find data and holes on ${type}`, async () => {
      await using fs = await mountFileSystem(type);
      const path = `${fs.path}/image`;
      await makeImage(path, 16 * MiB, [
        { start: 4 * MiB, length: MiB },
        { start: 8 * MiB, length: 2 * MiB },
      ]);
      const fd = native.open(path, O_RDONLY);
      try {
        const ranges = (...asked: [number, number, number]) => [...native.dataRanges(fd, ...asked)];
        expect(ranges(0, 16 * MiB, 9)).to.deep.equal([4 * MiB, MiB, 8 * MiB, 2 * MiB]);
        expect(ranges(0, 16 * MiB, 1)).to.deep.equal([4 * MiB, MiB]);
        expect(ranges(4 * MiB + 5, 9 * MiB, 9)).to.deep.equal([4 * MiB + 5, MiB - 5, 8 * MiB, MiB]);
        expect(ranges(0, 4 * MiB, 9)).to.deep.equal([]);
        // Nothing but a hole is left, and nothing at all.
        expect(ranges(10 * MiB, 16 * MiB, 9)).to.deep.equal([]);
        expect(ranges(16 * MiB, 17 * MiB, 9)).to.deep.equal([]);
        expect(ranges(0, 16 * MiB, 0)).to.deep.equal([]);
        expect(native.seekEnd(fd)).to.equal(16 * MiB);
      } finally {
        native.close(fd);
      }
    });
  }

  it('data up to the end of the file ends there', async () => {
    await using dir = await tempDir();
    await makeImage(dir.join('image'), 3 * MiB, [{ start: 0, length: 3 * MiB }]);
    const fd = native.open(dir.join('image'), O_RDONLY);
    expect([...native.dataRanges(fd, 0, 4 * MiB, 9)]).to.deep.equal([0, 3 * MiB]);
    native.close(fd);
  });

  it('are EBADF without a file, and check their arguments', async () => {
    expectErrno('EBADF', 'lseek(SEEK_DATA)', () => native.dataRanges(NO_FD, 0, 1, 1));
    expectErrno('EBADF', 'lseek(SEEK_END)', () => native.seekEnd(NO_FD));
    await using file = await open('/dev/null', 'r');
    expectChecked(native.dataRanges, [file.fd, 0, 1, 1], ['fd', 'start', 'stop', 'most']);
    expectChecked(native.seekEnd, [file.fd], ['fd']);
  });
});
