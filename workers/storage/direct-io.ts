/** Whether a target takes direct I/O: asked by doing it, since O_DIRECT at open(2) promises nothing. */
import type { NativeIo } from '../native/index.js';
import { isNativeError } from './errors.js';
import { sectorBuffer } from './scratch.js';

export type DirectProbe =
  | { readonly fd: number; readonly refusal: null }
  | { readonly fd: null; readonly refusal: string };

/**
 * Opens the storage behind `fd` once more with O_DIRECT and reads one unit. Writes nothing.
 * @param fd    an open descriptor; the same file is opened again through /proc, whatever its path says by now
 * @param unit  bytes of one direct transfer
 */
export function probeDirectIo(io: NativeIo, fd: number, flags: number, unit: number): DirectProbe {
  let directFd: number;
  try {
    directFd = io.open(`/proc/self/fd/${fd}`, flags | io.constants.O_DIRECT);
  } catch (thrown) {
    return { fd: null, refusal: refusal('open', thrown) };
  }
  try {
    io.pread(directFd, sectorBuffer(io), 0, unit, 0);
    return { fd: directFd, refusal: null };
  } catch (thrown) {
    io.close(directFd);
    return { fd: null, refusal: refusal('a direct read', thrown) };
  }
}

function refusal(what: string, thrown: unknown): string {
  if (!isNativeError(thrown)) throw thrown;
  return `${what} was refused (${thrown.code})`;
}
