/** What the kernel says becomes one of our codes; errno and syscall stay. */
import { constants } from 'node:os';
import { expect } from 'chai';
import { FerryError } from '../../../shared/errors.js';
import { loadNative } from '../../../workers/native/index.js';
import { closeStorage } from '../../../workers/storage/close.js';
import { guard, isNativeError, storageError } from '../../../workers/storage/errors.js';
import { flushTarget } from '../../../workers/storage/flush.js';
import { openTarget } from '../../../workers/storage/open.js';
import { failure } from '../../helpers/failure.js';
import { FaultyIo, nativeError } from '../../helpers/faulty-io.js';
import { request } from '../../helpers/targets.js';
import { tempDir } from '../../helpers/temp.js';

const CODES = {
  ENOSPC: 'STORAGE_FULL',
  EDQUOT: 'STORAGE_FULL',
  EFBIG: 'STORAGE_FULL',
  EACCES: 'STORAGE_DENIED',
  EPERM: 'STORAGE_DENIED',
  EROFS: 'STORAGE_DENIED',
  EBUSY: 'TARGET_BUSY',
  ENOENT: 'PATH_NOT_FOUND',
  ELOOP: 'PATH_FORBIDDEN',
  ENODEV: 'STORAGE_GONE',
  ENXIO: 'STORAGE_GONE',
  EIO: 'STORAGE_IO',
  EMFILE: 'STORAGE_IO',
  EBADF: 'INTERNAL',
} as const;

describe('workers: errors of storage', () => {
  for (const [errno, code] of Object.entries(CODES)) {
    it(`${errno} is ${code}`, () => {
      const error = storageError(nativeError(errno, 'pwrite'), '/srv/x', 'write') as FerryError;
      expect(error).to.be.instanceOf(FerryError);
      expect(error.code).to.equal(code);
      expect(error.details).to.deep.equal({
        errno: (constants.errno as Record<string, number>)[errno],
        syscall: 'pwrite',
        path: '/srv/x',
      });
      expect(error.message).to.include('/srv/x').and.include(errno);
    });
  }

  it('leaves alone what no system call threw', () => {
    const ours = new FerryError('CANCELED', 'stop');
    const bug = new TypeError('x is not a function');
    for (const thrown of [ours, bug]) expect(storageError(thrown, '/x', 'write')).to.equal(thrown);
    expect(isNativeError(bug)).to.equal(false);
    expect(() =>
      guard('/x', 'write', () => {
        throw ours;
      }),
    ).to.throw(ours);
  });

  for (const [errno, code] of [
    ['EIO', 'FLUSH_FAILED'],
    ['ENOSPC', 'STORAGE_FULL'],
  ] as const) {
    it(`a flush that fails with ${errno} is ${code}, and it is asked only once`, async () => {
      await using dir = await tempDir();
      const faulty = new FaultyIo().refuse('fdatasync', errno);
      const target = await openTarget(faulty.io, request('file', dir.join('x'), 4096));
      try {
        const error = await failure(() => flushTarget(faulty.io, target));
        expect(error.code).to.equal(code);
        expect(error.details).to.include({ syscall: 'fdatasync', path: target.path });
        expect(error.details.errno).to.equal((constants.errno as Record<string, number>)[errno]);
        expect(faulty.made('fdatasync')).to.have.length(1);
      } finally {
        closeStorage(faulty.io, target);
      }
    });
  }

  it('a flush of a file makes its name durable too, whoever made it', async () => {
    // An earlier attempt, which was killed, may have made the file and never synced its directory.
    await using dir = await tempDir();
    const faulty = new FaultyIo();
    for (const created of [true, false]) {
      const target = await openTarget(faulty.io, request('file', dir.join('x'), 4096));
      expect(target.created).to.equal(created);
      faulty.calls.length = 0;
      flushTarget(faulty.io, target);
      expect(faulty.made('fdatasync')).to.have.length(2);
      expect(faulty.made('open', (path) => path === dir.path)).to.have.length(1);
      closeStorage(faulty.io, target);
    }
  });

  it('closing one descriptor that fails still closes the other', async () => {
    // Symptom: the lock of a target stayed taken. Cause: closing stopped at the first error.
    await using dir = await tempDir();
    const faulty = new FaultyIo();
    const target = await openTarget(faulty.io, request('file', dir.join('x'), 4096));
    faulty.refuse('close', 'EIO', (fd) => fd === target.directFd);
    const error = await failure(() => closeStorage(faulty.io, target));
    expect(error.code).to.equal('STORAGE_IO');
    expect(faulty.made('close', (fd) => fd === target.fd)).to.have.length(1);
    if (target.directFd !== null) loadNative().close(target.directFd);
  });
});
