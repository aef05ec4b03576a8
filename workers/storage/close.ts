/** Ends the life of a handle. Closing releases the locks. */
import type { NativeIo } from '../native/index.js';
import { guard } from './errors.js';
import type { SourceHandle, TargetHandle } from './handle.js';

/** Call once, when no task uses the descriptors any more: the kernel gives their numbers to others at once. */
export function closeStorage(io: NativeIo, handle: SourceHandle | TargetHandle): void {
  if ('directFd' in handle && handle.directFd !== null) io.close(handle.directFd);
  guard(handle.path, 'close', () => io.close(handle.fd));
}
