/** open, close, pread, pwrite, ftruncate, fallocate, fdatasync, fadvise: on real files. */
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { loadNative } from '../../../workers/native/index.js';
import { allocatedBytes, assertZero, patternBytes, readRange } from '../../helpers/bytes.js';
import { mountFileSystem, needsFileSystem } from '../../helpers/mounts.js';
import { isRoot, needs } from '../../helpers/needs.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';
import { expectChecked, expectErrno, NO_FD, O_CREAT, O_RDONLY, O_RDWR, O_WRONLY } from './expect-error.js';

const native = loadNative();
const { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE, O_DIRECT, O_EXCL, O_NOFOLLOW } =
  native.constants;
const MiB = 1024 * 1024;
const GiB = 1024 * MiB;

describe('native file calls', () => {
  let dir: TempDir;
  let fd: number;
  beforeEach(async () => {
    dir = await tempDir();
    fd = native.open(dir.join('file'), O_RDWR | O_CREAT);
  });
  afterEach(async () => {
    native.close(fd);
    await dir.release();
  });

  describe('open', () => {
    it('makes a file with the mode that was asked for', () => {
      native.close(native.open(dir.join('private'), O_WRONLY | O_CREAT, 0o600));
      expect(statSync(dir.join('private')).mode & 0o777).to.equal(0o600);
    });

    it('adds O_CLOEXEC, so that child processes do not hold targets open', () => {
      const flags = Number.parseInt(
        /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '',
        8,
      );
      expect(flags & native.constants.O_CLOEXEC).not.to.equal(0);
    });

    it('passes flags on: O_EXCL, O_NOFOLLOW, O_DIRECT', () => {
      expectErrno('EEXIST', 'open', () => native.open(dir.join('file'), O_RDWR | O_CREAT | O_EXCL));
      symlinkSync('file', dir.join('link'));
      expectErrno('ELOOP', 'open', () => native.open(dir.join('link'), O_RDONLY | O_NOFOLLOW));
      expect(O_DIRECT).to.be.greaterThan(0);
    });

    it('tells what is wrong with the path', () => {
      const error = expectErrno('ENOENT', 'open', () => native.open(dir.join('missing'), O_RDONLY));
      expect(error.errno).to.equal(2);
      expect(error.message).to.equal('ENOENT: no such file or directory, open');
      mkdirSync(dir.join('directory'));
      expectErrno('EISDIR', 'open', () => native.open(dir.join('directory'), O_RDWR));
    });

    it('opens a name that is not ASCII', () => {
      writeFileSync(dir.join('Ä 画像.img'), 'x');
      native.close(native.open(dir.join('Ä 画像.img'), O_RDONLY));
    });

    it('refuses a path with NUL inside instead of opening what stands before it', () => {
      writeFileSync(dir.join('victim'), '');
      expect(() => native.open(`${dir.join('victim')}\0.img`, O_RDONLY)).to.throw(RangeError, 'path must be a path');
      expect(() => native.open('', O_RDONLY)).to.throw(RangeError, 'path must be a path');
      expect(() => native.open(7 as never, O_RDONLY)).to.throw(TypeError, 'path must be a string');
      expectChecked(native.open, [dir.join('x'), O_RDONLY], [null, 'flags']);
      expect(() => native.open(dir.join('x'), O_RDONLY, -1)).to.throw(RangeError, 'mode must be a whole number');
      expect(existsSync(dir.join('x'))).to.equal(false);
    });
  });

  it('close closes once; a second time is EBADF', () => {
    const other = native.open(dir.join('file'), O_RDONLY);
    native.close(other);
    expectErrno('EBADF', 'close', () => native.close(other));
    expectChecked(native.close, [NO_FD], ['fd']);
    expect(() => native.close(2 ** 31)).to.throw(RangeError, 'fd must be a whole number from 0 to 2^31 - 1');
  });

  for (const memory of ['ArrayBuffer', 'SharedArrayBuffer'] as const) {
    const allocate = (length: number) =>
      new Uint8Array(memory === 'ArrayBuffer' ? new ArrayBuffer(length) : new SharedArrayBuffer(length));

    describe(`pread and pwrite in a ${memory}`, () => {
      it('move exactly the asked bytes between a slice of the buffer and a position', () => {
        const out = allocate(100);
        out.set(patternBytes(1, 100));
        expect(native.pwrite(fd, out, 10, 50, 7)).to.equal(50);
        expect(statSync(dir.join('file')).size).to.equal(57);
        const back = allocate(100).fill(0xaa);
        expect(native.pread(fd, back, 20, 50, 7)).to.equal(50);
        expect([...back.subarray(20, 70)]).to.deep.equal([...out.subarray(10, 60)]);
        expect([...back.subarray(0, 20), ...back.subarray(70)].every((byte) => byte === 0xaa)).to.equal(true);
      });

      it('respect the offset of a view into its memory', () => {
        const whole = allocate(64);
        const view = new Uint8Array(whole.buffer, 16, 8).fill(7);
        native.pwrite(fd, view, 2, 6, 0);
        expect([...readFileSync(dir.join('file'))]).to.deep.equal([7, 7, 7, 7, 7, 7]);
        expect(native.pread(fd, view.fill(0), 4, 4, 0)).to.equal(4);
        expect([...whole.subarray(16, 24)]).to.deep.equal([0, 0, 0, 0, 7, 7, 7, 7]);
      });

      it('never reach outside the buffer', () => {
        const buffer = allocate(16);
        for (const call of [native.pread, native.pwrite]) {
          for (const [offset, length] of [
            [0, 17],
            [16, 1],
            [17, 0],
            [8, 2 ** 53 - 1],
            [2 ** 53 - 1, 2 ** 53 - 1],
          ] as const) {
            expect(() => call(fd, buffer, offset, length, 0)).to.throw(RangeError, 'offset + length must lie inside');
          }
        }
      });
    });
  }

  it('pread gives fewer bytes at the end of the file, and 0 behind it', () => {
    native.ftruncate(fd, 10);
    const buffer = new Uint8Array(16);
    expect(native.pread(fd, buffer, 0, 16, 4)).to.equal(6);
    expect(native.pread(fd, buffer, 0, 16, 10)).to.equal(0);
    expect(native.pread(fd, new Uint8Array(0), 0, 0, 0)).to.equal(0);
  });

  it('pread and pwrite raise what the kernel says, and check every argument', () => {
    const buffer = new Uint8Array(16);
    expectErrno('EBADF', 'pread', () => native.pread(NO_FD, buffer, 0, 16, 0));
    expectErrno('EBADF', 'pwrite', () => native.pwrite(NO_FD, buffer, 0, 16, 0));
    const readOnly = native.open(dir.join('file'), O_RDONLY);
    expectErrno('EBADF', 'pwrite', () => native.pwrite(readOnly, buffer, 0, 16, 0));
    native.close(readOnly);
    for (const call of [native.pread, native.pwrite]) {
      expectChecked(call, [fd, buffer, 0, 16, 0], ['fd', null, 'offset', 'length', 'position']);
      for (const bad of [
        undefined,
        null,
        'text',
        [1],
        new ArrayBuffer(16),
        new DataView(buffer.buffer),
        new Int8Array(16),
      ]) {
        expect(() => call(fd, bad as never, 0, 1, 0)).to.throw(TypeError, 'buffer must be a Uint8Array');
      }
    }
    expect(statSync(dir.join('file')).size).to.equal(0);
  });

  it('a buffer that was moved to another thread is empty, and refused', () => {
    const buffer = new Uint8Array(16);
    structuredClone(buffer, { transfer: [buffer.buffer] });
    expect(() => native.pwrite(fd, buffer, 0, 16, 0)).to.throw(RangeError, 'the buffer of 0 bytes');
  });

  it('offsets beyond 4 GiB arrive whole', async () => {
    const far = 5 * GiB + 3;
    native.ftruncate(fd, 6 * GiB);
    native.pwrite(fd, patternBytes(2, 8), 0, 8, far);
    expect(await readRange(dir.join('file'), far, 8)).to.deep.equal(patternBytes(2, 8));
    await assertZero(dir.join('file'), 1 * GiB + 3, 8);
    expect(native.seekEnd(fd)).to.equal(6 * GiB);
  });

  it('ftruncate sets the size both ways; EINVAL on what cannot be written', () => {
    native.ftruncate(fd, 100);
    expect(statSync(dir.join('file')).size).to.equal(100);
    native.ftruncate(fd, 3);
    expect(statSync(dir.join('file')).size).to.equal(3);
    expectErrno('EBADF', 'ftruncate', () => native.ftruncate(NO_FD, 0));
    const readOnly = native.open(dir.join('file'), O_RDONLY);
    expectErrno('EINVAL', 'ftruncate', () => native.ftruncate(readOnly, 0));
    native.close(readOnly);
    expectChecked(native.ftruncate, [fd, 0], ['fd', 'size']);
  });

  it('fdatasync flushes a file; EINVAL on what has no storage', () => {
    native.pwrite(fd, patternBytes(1, 100), 0, 100, 0);
    native.fdatasync(fd);
    expectErrno('EBADF', 'fdatasync', () => native.fdatasync(NO_FD));
    const device = native.open('/dev/null', O_RDWR);
    expectErrno('EINVAL', 'fdatasync', () => native.fdatasync(device));
    native.close(device);
    expectChecked(native.fdatasync, [fd], ['fd']);
  });

  it('fadvise passes its advice on; its errors come without errno variable', () => {
    native.fadvise(fd, 0, 0, native.constants.POSIX_FADV_SEQUENTIAL);
    native.fadvise(fd, 0, MiB, native.constants.POSIX_FADV_DONTNEED);
    expectErrno('EBADF', 'posix_fadvise', () => native.fadvise(NO_FD, 0, 0, 0));
    expectErrno('EINVAL', 'posix_fadvise', () => native.fadvise(fd, 0, 0, 99));
    expectChecked(native.fadvise, [fd, 0, 0, 0], ['fd', 'start', 'length', 'advice']);
  });

  describe('fallocate', () => {
    it('refuses what the kernel refuses', () => {
      expectErrno('EBADF', 'fallocate', () => native.fallocate(NO_FD, 0, 0, 1));
      expectErrno('EINVAL', 'fallocate', () => native.fallocate(fd, 0, 0, 0));
      expectErrno('EFBIG', 'fallocate', () => native.fallocate(fd, 0, 2 ** 53 - 1, 2 ** 53 - 1));
      const error = expectErrno('EOPNOTSUPP', 'fallocate', () => native.fallocate(fd, 2 ** 30, 0, 1));
      expect(error.errno).to.equal(95);
      expectChecked(native.fallocate, [fd, 0, 0, 1], ['fd', 'mode', 'start', 'length']);
    });

    needsFileSystem('ext4')('reserves, zeroes and gives back', async () => {
      await using fs = await mountFileSystem('ext4');
      const path = `${fs.path}/file`;
      const file = native.open(path, O_RDWR | O_CREAT);
      try {
        native.fallocate(file, 0, 0, 8 * MiB);
        expect(statSync(path).size).to.equal(8 * MiB);
        expect(await allocatedBytes(path)).to.be.within(8 * MiB, 9 * MiB);
        native.pwrite(file, patternBytes(1, 8 * MiB), 0, 8 * MiB, 0);
        native.fallocate(file, FALLOC_FL_ZERO_RANGE, MiB, MiB);
        await assertZero(path, MiB, MiB);
        expect(await allocatedBytes(path)).to.be.within(8 * MiB, 9 * MiB);
        native.fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * MiB, 4 * MiB);
        await assertZero(path, 2 * MiB, 4 * MiB);
        expect(await allocatedBytes(path)).to.be.within(4 * MiB, 5 * MiB);
        expect(await readRange(path, 6 * MiB, 2 * MiB)).to.deep.equal(patternBytes(1, 8 * MiB).subarray(6 * MiB));
      } finally {
        native.close(file);
      }
    });

    needsFileSystem('ext2')('is EOPNOTSUPP where the file system has none', async () => {
      await using fs = await mountFileSystem('ext2');
      const file = native.open(`${fs.path}/file`, O_RDWR | O_CREAT);
      try {
        expectErrno('EOPNOTSUPP', 'fallocate', () => native.fallocate(file, 0, 0, MiB));
      } finally {
        native.close(file);
      }
    });
  });

  needsFileSystem('tmpfs')('a full file system is ENOSPC, after the bytes that fitted', async () => {
    await using fs = await mountFileSystem('tmpfs', MiB);
    const file = native.open(`${fs.path}/file`, O_RDWR | O_CREAT);
    try {
      const error = expectErrno('ENOSPC', 'fallocate', () => native.fallocate(file, 0, 0, 2 * MiB));
      expect(error.message).to.equal('ENOSPC: no space left on device, fallocate');
      const written = native.pwrite(file, patternBytes(1, 2 * MiB), 0, 2 * MiB, 0);
      expect(written).to.be.within(1, MiB);
      expectErrno('ENOSPC', 'pwrite', () => native.pwrite(file, patternBytes(1, MiB), 0, MiB, written));
    } finally {
      native.close(file);
    }
  });

  needsFileSystem('ext4')('direct I/O wants aligned memory, and is EINVAL without', async () => {
    await using fs = await mountFileSystem('ext4');
    const file = native.open(`${fs.path}/file`, O_RDWR | O_CREAT | O_DIRECT);
    try {
      const buffer = new Uint8Array(new SharedArrayBuffer(3 * 4096));
      const aligned = native.alignmentOffset(buffer, 4096);
      expect(native.pwrite(file, buffer, aligned, 4096, 0)).to.equal(4096);
      expectErrno('EINVAL', 'pwrite', () => native.pwrite(file, buffer, aligned + 1, 4096, 0));
    } finally {
      native.close(file);
    }
  });

  needs(isRoot && existsSync('/dev/full'), 'root and /dev/full')('a device that is full is ENOSPC', () => {
    const device = native.open('/dev/full', O_WRONLY);
    expectErrno('ENOSPC', 'pwrite', () => native.pwrite(device, new Uint8Array(1), 0, 1, 0));
    native.close(device);
  });
});
