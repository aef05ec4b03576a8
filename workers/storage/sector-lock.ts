/**
 * Mutual exclusion for one sector of a target over all threads of this process, so that two writers of
 * neighbouring bytes in one sector never lose each other's: each reads, changes and writes it whole.
 * Other processes are kept out by the target's lock.
 */
import { HEADER, LOCKS, type TargetHandle } from './handle.js';

const FREE = 0;
const HELD = 1;
const HELD_AND_AWAITED = 2;

/** Runs `work` while this thread alone holds the sector. Blocks the thread. Not reentrant. */
export function withSectorLock<T>(target: TargetHandle, sector: number, work: () => T): T {
  const words = new Int32Array(target.shared);
  const slot = HEADER + (sector % LOCKS);
  if (Atomics.compareExchange(words, slot, FREE, HELD) !== FREE) {
    while (Atomics.exchange(words, slot, HELD_AND_AWAITED) !== FREE) Atomics.wait(words, slot, HELD_AND_AWAITED);
  }
  try {
    return work();
  } finally {
    if (Atomics.exchange(words, slot, FREE) === HELD_AND_AWAITED) Atomics.notify(words, slot, 1);
  }
}
