/**
 * Two files of one file system can share their blocks (reflink): nothing is read or written, holes stay holes, and
 * whatever lay in the target before is gone. Only the file system knows whether it can, so it is asked by doing it.
 * Facts: ioctl_ficlonerange(2).
 */
import type { Range } from '../../shared/units.js';
import type { NativeIo } from '../native/index.js';
import { isNativeError, REFUSALS, storageError } from './errors.js';
import { FILE_UNIT, type SourceHandle, type TargetHandle } from './handle.js';

/** Other file systems, other mounts, those that cannot share, files that are swap space or must not change. */
const CLONE_REFUSALS: readonly string[] = [...REFUSALS, 'EXDEV', 'ETXTBSY', 'EPERM'];

/**
 * Makes `range` of the target the same blocks as that of the source. Blocks the thread; safe to repeat.
 * @param range  of both; starts and ends at multiples of `FILE_UNIT`
 * @returns      false when the file system refused; then nothing has changed
 * @throws FerryError STORAGE_FULL, STORAGE_IO and others of `errors.ts`
 */
export function cloneBlocks(io: NativeIo, source: SourceHandle, target: TargetHandle, range: Range): boolean {
  if (source.kind !== 'file' || target.kind !== 'file') return false;
  try {
    io.cloneRange(target.fd, range.start, source.fd, range.start, range.length);
    return true;
  } catch (thrown) {
    if (isNativeError(thrown) && CLONE_REFUSALS.includes(thrown.code)) return false;
    throw storageError(thrown, target.path, 'clone into');
  }
}

/** Whether it works here, found by doing it to the first block of an image of so many bytes, which goes there anyway. */
export function canClone(io: NativeIo, source: SourceHandle, target: TargetHandle, imageBytes: number): boolean {
  return imageBytes >= FILE_UNIT && cloneBlocks(io, source, target, { start: 0, length: FILE_UNIT });
}
