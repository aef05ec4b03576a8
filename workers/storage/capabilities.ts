/**
 * What a target refused, remembered for all threads that work on it.
 * A flag only ever goes from "may work" to "was refused".
 */

import { MiB } from '../../shared/units.js';
import { ZERO_METHODS, type ZeroMethod } from '../../shared/zero-methods.js';
import { CALL_MIB, DIRECT, METHODS, type TargetHandle } from './handle.js';

/** A call is split or grown so that it takes about this long at the most: cancel waits for it. */
const LONGEST_CALL_MS = 1000;
const QUICK_CALL_MS = 250;
/** Nothing is written: the length hardly matters. */
const INSTANT_CALL_MS = 25;
const MOST_MIB = 16 * 1024;

export class Capabilities {
  readonly #slots: Int32Array;

  constructor(target: Pick<TargetHandle, 'shared'>) {
    this.#slots = new Int32Array(target.shared);
  }

  allows(method: ZeroMethod): boolean {
    return (Atomics.load(this.#slots, METHODS) & bit(method)) !== 0;
  }

  refuse(method: ZeroMethod): void {
    Atomics.and(this.#slots, METHODS, ~bit(method));
  }

  get direct(): boolean {
    return Atomics.load(this.#slots, DIRECT) !== 0;
  }

  refuseDirect(): void {
    Atomics.store(this.#slots, DIRECT, 0);
  }

  /** The longest zero call to make now, in bytes. */
  get zeroCallLength(): number {
    return Atomics.load(this.#slots, CALL_MIB) * MiB;
  }

  /** Learns from a zero call: quick full-length calls make the next ones longer, slow ones shorter. */
  learn(length: number, durationMs: number): void {
    const now = Atomics.load(this.#slots, CALL_MIB);
    if (durationMs > LONGEST_CALL_MS) {
      const fitting = Math.floor((length / MiB) * (LONGEST_CALL_MS / durationMs));
      Atomics.store(this.#slots, CALL_MIB, Math.max(1, Math.min(now, fitting)));
    } else if (durationMs < QUICK_CALL_MS && length >= now * MiB) {
      const growth = durationMs < INSTANT_CALL_MS ? 8 : 2;
      Atomics.store(this.#slots, CALL_MIB, Math.min(MOST_MIB, now * growth));
    }
  }
}

function bit(method: ZeroMethod): number {
  return 1 << ZERO_METHODS.indexOf(method);
}
