/** lockFile and unlockFile: one open excludes the other, in this process too. */
import { expect } from 'chai';
import { loadNative } from '../../../workers/native/index.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';
import { expectChecked, expectErrno, NO_FD, O_CREAT, O_RDONLY, O_RDWR } from './expect-error.js';

const native = loadNative();

describe('native locks', () => {
  let dir: TempDir;
  let first: number;
  let second: number;
  beforeEach(async () => {
    dir = await tempDir();
    first = native.open(dir.join('file'), O_RDWR | O_CREAT);
    second = native.open(dir.join('file'), O_RDWR);
  });
  afterEach(async () => {
    native.close(first);
    native.close(second);
    await dir.release();
  });

  it('an exclusive lock keeps a second open of the same file out, until it is given up', () => {
    native.lockFile(first, true);
    native.lockFile(first, true);
    expectErrno('EAGAIN', 'fcntl(F_OFD_SETLK)', () => native.lockFile(second, true));
    expectErrno('EAGAIN', 'fcntl(F_OFD_SETLK)', () => native.lockFile(second, false));
    native.unlockFile(first);
    native.lockFile(second, true);
  });

  it('closing another descriptor of the file does not free the lock', () => {
    native.lockFile(first, true);
    native.close(native.open(dir.join('file'), O_RDONLY));
    expectErrno('EAGAIN', 'fcntl(F_OFD_SETLK)', () => native.lockFile(second, true));
  });

  it('closing the locked descriptor frees it', () => {
    const third = native.open(dir.join('file'), O_RDWR);
    native.lockFile(third, true);
    native.close(third);
    native.lockFile(second, true);
  });

  it('shared locks go together and keep writers out', () => {
    native.lockFile(first, false);
    native.lockFile(second, false);
    expectErrno('EAGAIN', 'fcntl(F_OFD_SETLK)', () => native.lockFile(second, true));
  });

  it('the lock also covers bytes that the file grows by', () => {
    native.lockFile(first, true);
    native.ftruncate(first, 2 ** 40);
    expectErrno('EAGAIN', 'fcntl(F_OFD_SETLK)', () => native.lockFile(second, true));
  });

  it('an exclusive lock needs a descriptor open for writing: EBADF', () => {
    const readOnly = native.open(dir.join('file'), O_RDONLY);
    expectErrno('EBADF', 'fcntl(F_OFD_SETLK)', () => native.lockFile(readOnly, true));
    native.close(readOnly);
    expectErrno('EBADF', 'fcntl(F_OFD_SETLK)', () => native.unlockFile(NO_FD));
  });

  it('check their arguments', () => {
    expectChecked(native.lockFile, [first, true], ['fd']);
    expectChecked(native.unlockFile, [first], ['fd']);
    for (const bad of [undefined, null, 1, 'true']) {
      expect(() => native.lockFile(first, bad as never)).to.throw(TypeError, 'exclusive must be true or false');
    }
  });
});
