/** Ends the life of a handle. Closing releases the locks. */
import type { NativeIo } from '../native/index.js';
import { guard } from './errors.js';
import type { FdSource, FdTarget, Handle } from './handle.js';
import { closeNbd } from './nbd.js';

/**
 * Call once, when no task uses the descriptors any more: the kernel gives their numbers to others at once.
 * Closes all of them, whatever goes wrong: a descriptor left open would keep its lock.
 * @throws FerryError for the first that failed
 */
export function closeStorage(io: NativeIo, ...handles: Handle[]): void {
  const failures: unknown[] = [];
  for (const handle of handles) {
    const close =
      handle.kind === 'nbd' ? [() => closeNbd(io, handle)] : descriptors(handle).map((fd) => () => io.close(fd));
    for (const call of close) {
      try {
        guard(handle.path, 'close', call);
      } catch (thrown) {
        failures.push(thrown);
      }
    }
  }
  if (failures.length > 0) throw failures[0];
}

function descriptors(handle: FdSource | FdTarget): number[] {
  const direct = 'directFd' in handle ? handle.directFd : null;
  return direct === null ? [handle.fd] : [direct, handle.fd];
}
