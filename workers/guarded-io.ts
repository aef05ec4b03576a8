/**
 * The native calls as a job's tasks use them: before every call that changes the target the job's control block is
 * asked, so that no path through copying or zeroing can write after a stop or past the lease. A thread that was
 * frozen in a call finishes that one and nothing more.
 */
import type { ControlBlock } from './control.js';
import type { NativeIo } from './native/index.js';
import { threadIo } from './timed-io.js';

/** Every call that changes what is stored. A flush is none: it changes nothing that was not written before. */
const CHANGING = [
  'fallocate',
  'zeroOut',
  'discard',
  'pwrite',
  'pwriteBatch',
  'ftruncate',
  'copyFileRange',
  'clone',
  'cloneRange',
  'nbdWrite',
  'nbdZero',
] as const satisfies readonly (keyof NativeIo)[];

/** @returns calls that throw CANCELED or LEASE_LOST (`ControlBlock.check`) instead of changing anything */
export function guardedIo(control: ControlBlock, io: NativeIo = threadIo()): NativeIo {
  const guarded = Object.create(io) as Record<string, unknown>;
  for (const name of CHANGING) {
    const call = io[name] as (...args: unknown[]) => unknown;
    guarded[name] = (...args: unknown[]) => {
      control.check();
      return call(...args);
    };
  }
  const { O_CREAT } = io.constants;
  guarded.open = (path: string, flags: number, mode?: number) => {
    if ((flags & O_CREAT) !== 0) control.check();
    return io.open(path, flags, mode);
  };
  return guarded as unknown as NativeIo;
}
