/**
 * Files that grow while several write them: only here, one at a time, and never shorter. A write behind the end of a
 * file then always finds it long enough, so no resize of one writer can cut off what another has just written.
 */
import { fstatSync } from 'node:fs';
import type { NativeIo } from '../native/index.js';
import { storageError } from './errors.js';
import type { TargetHandle } from './handle.js';
import { withSectorLock } from './sector-lock.js';

/** Any would do: two sectors may share a lock, and none is taken while another is held. */
const GROWTH = 0;

/** Makes a file at least `size` bytes long; the new bytes are a hole. Other storage stays as it is. */
export function growTo(io: NativeIo, target: TargetHandle, size: number): void {
  if (target.kind !== 'file') return;
  const { fd } = target;
  if (fstatSync(fd).size >= size) return;
  withSectorLock(target, GROWTH, () => {
    try {
      if (fstatSync(fd).size < size) io.ftruncate(fd, size);
    } catch (thrown) {
      throw storageError(thrown, target.path, 'grow');
    }
  });
}
