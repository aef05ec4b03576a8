/** seekData, seekHole, seekEnd: where data and holes of a real sparse file begin. */
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
        expect(native.seekData(fd, 0)).to.equal(4 * MiB);
        expect(native.seekData(fd, 4 * MiB + 5)).to.equal(4 * MiB + 5);
        expect(native.seekHole(fd, 0)).to.equal(0);
        expect(native.seekHole(fd, 4 * MiB)).to.equal(5 * MiB);
        expect(native.seekData(fd, 5 * MiB)).to.equal(8 * MiB);
        expect(native.seekHole(fd, 8 * MiB)).to.equal(10 * MiB);
        // Nothing but a hole is left, and nothing at all.
        expect(native.seekData(fd, 10 * MiB)).to.equal(null);
        expect(native.seekData(fd, 16 * MiB)).to.equal(null);
        expect(native.seekHole(fd, 16 * MiB)).to.equal(null);
        expect(native.seekEnd(fd)).to.equal(16 * MiB);
      } finally {
        native.close(fd);
      }
    });
  }

  it('seekHole at the end of data is the end of the file', async () => {
    await using dir = await tempDir();
    await makeImage(dir.join('image'), 3 * MiB, [{ start: 0, length: 3 * MiB }]);
    const fd = native.open(dir.join('image'), O_RDONLY);
    expect(native.seekHole(fd, 0)).to.equal(3 * MiB);
    native.close(fd);
  });

  it('are EBADF without a file, and check their arguments', async () => {
    expectErrno('EBADF', 'lseek(SEEK_DATA)', () => native.seekData(NO_FD, 0));
    expectErrno('EBADF', 'lseek(SEEK_HOLE)', () => native.seekHole(NO_FD, 0));
    expectErrno('EBADF', 'lseek(SEEK_END)', () => native.seekEnd(NO_FD));
    await using file = await open('/dev/null', 'r');
    expectChecked(native.seekData, [file.fd, 0], ['fd', 'start']);
    expectChecked(native.seekHole, [file.fd, 0], ['fd', 'start']);
    expectChecked(native.seekEnd, [file.fd], ['fd']);
  });
});
