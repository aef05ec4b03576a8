/** Ends the life of a handle. Closing releases the locks. */
import type { NativeIo } from '../native/index.js';
import { guard } from './errors.js';
import type { SourceHandle, TargetHandle } from './handle.js';

/**
 * Call once, when no task uses the descriptors any more: the kernel gives their numbers to others at once.
 * Closes all of them, whatever goes wrong: a descriptor left open would keep its lock.
 * @throws FerryError for the first that failed
 */
export function closeStorage(io: NativeIo, ...handles: (SourceHandle | TargetHandle)[]): void {
  const failures: unknown[] = [];
  for (const handle of handles) {
    const direct = 'directFd' in handle ? handle.directFd : null;
    for (const fd of direct === null ? [handle.fd] : [direct, handle.fd]) {
      try {
        guard(handle.path, 'close', () => io.close(fd));
      } catch (thrown) {
        failures.push(thrown);
      }
    }
  }
  if (failures.length > 0) throw failures[0];
}
