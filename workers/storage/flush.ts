/**
 * Makes what was written durable. A flush that failed must never be repeated and called good: the kernel
 * reports a lost write once and may forget it then.
 */
import { dirname } from 'node:path';
import { FerryError } from '../../shared/errors.js';
import type { NativeIo } from '../native/index.js';
import { isNativeError, storageError } from './errors.js';
import type { TargetHandle } from './handle.js';
import { flushNbd } from './nbd.js';

/**
 * The NBD server's flush, or fdatasync(2) of the target, and of a file's directory, so that its name survives too: this attempt or an earlier
 * one may have made it.
 * Blocks the thread, for as long as the storage needs.
 * @throws FerryError FLUSH_FAILED  what was written since the last good flush is to be counted as lost
 * @throws FerryError STORAGE_FULL  the storage found no space for what it had already taken
 */
export function flushTarget(io: NativeIo, target: TargetHandle): void {
  try {
    if (target.kind === 'nbd') {
      flushNbd(io, target);
      return;
    }
    io.fdatasync(target.fd);
    if (target.kind === 'file') syncDirectory(io, dirname(target.path));
  } catch (thrown) {
    const error = storageError(thrown, target.path, 'flush');
    if (!isNativeError(thrown) || (error instanceof FerryError && error.code === 'STORAGE_FULL')) throw error;
    const details = { path: target.path, errno: thrown.errno, syscall: thrown.syscall };
    throw new FerryError('FLUSH_FAILED', `Cannot make ${target.path} durable (${thrown.code})`, details, {
      cause: thrown,
    });
  }
}

function syncDirectory(io: NativeIo, path: string): void {
  const fd = io.open(path, io.constants.O_RDONLY | io.constants.O_DIRECTORY | io.constants.O_NOFOLLOW);
  try {
    io.fdatasync(fd);
  } catch (thrown) {
    // A file system without directories to sync says so this way (fsync(2)); there is nothing to lose then.
    if (!isNativeError(thrown) || thrown.code !== 'EINVAL') throw thrown;
  } finally {
    io.close(fd);
  }
}
