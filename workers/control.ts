/**
 * The control block of one job: shared memory through which its tasks report progress, hear "stop" and know until
 * when they may write. Tasks add atomically; the coordinator samples. No message per chunk crosses a thread border.
 */
import { FerryError } from '../shared/errors.js';
import type { MethodUse } from '../shared/schemas/job.js';
import { ZERO_METHODS, type ZeroMethod } from '../shared/zero-methods.js';

const COUNTERS = ['done', 'zeroed', 'copied', 'cloned', 'detectedZero', 'verified'] as const;
export type Counter = (typeof COUNTERS)[number];

const FLAG_BYTES = 8;
const DEADLINE_BYTES = 8;
const HEADER_BYTES = FLAG_BYTES + DEADLINE_BYTES;
const PER_METHOD = 3; // bytes, calls, microseconds
const SLOTS = COUNTERS.length + ZERO_METHODS.length * PER_METHOD;

export class ControlBlock {
  readonly memory: SharedArrayBuffer;
  readonly #flags: Int32Array;
  /** Nanoseconds of CLOCK_MONOTONIC, which all threads share; 0: there is no lease to lose. */
  readonly #deadline: BigInt64Array;
  readonly #slots: BigInt64Array;

  /** Without `memory`: a new block, all zero. With it: a view of the same block on another thread. */
  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(HEADER_BYTES + SLOTS * 8)) {
    this.memory = memory;
    this.#flags = new Int32Array(memory, 0, 1);
    this.#deadline = new BigInt64Array(memory, FLAG_BYTES, 1);
    this.#slots = new BigInt64Array(memory, HEADER_BYTES, SLOTS);
  }

  /** Asks every task of the job to end before its next system call that moves data. */
  stop(): void {
    Atomics.store(this.#flags, 0, 1);
  }

  get stopped(): boolean {
    return Atomics.load(this.#flags, 0) !== 0;
  }

  /** Whoever writes for this job must stop at that moment: the lease on it may be somebody else's then. */
  writeUntil(monotonicNs: bigint): void {
    Atomics.store(this.#deadline, 0, monotonicNs);
  }

  /** False for a moment that `writeUntil` set and that has passed. */
  get leased(): boolean {
    const deadline = Atomics.load(this.#deadline, 0);
    return deadline === 0n || process.hrtime.bigint() < deadline;
  }

  /**
   * @throws FerryError CANCELED    once `stop` was called; the coordinator knows why it stopped
   * @throws FerryError LEASE_LOST  the lease was not renewed in time, whatever the reason
   */
  check(): void {
    if (this.stopped) throw new FerryError('CANCELED', 'The transfer was asked to stop');
    if (!this.leased) throw new FerryError('LEASE_LOST', 'The lease on the job ran out; nothing more is written');
  }

  add(counter: Counter, length: number): void {
    Atomics.add(this.#slots, COUNTERS.indexOf(counter), BigInt(length));
  }

  read(counter: Counter): number {
    return Number(Atomics.load(this.#slots, COUNTERS.indexOf(counter)));
  }

  addZeroed(method: ZeroMethod, length: number, durationMs: number): void {
    const slot = COUNTERS.length + ZERO_METHODS.indexOf(method) * PER_METHOD;
    Atomics.add(this.#slots, slot, BigInt(length));
    Atomics.add(this.#slots, slot + 1, 1n);
    Atomics.add(this.#slots, slot + 2, BigInt(Math.round(durationMs * 1000)));
  }

  /** Methods that were used at all, in the order of the ladder. */
  zeroed(): MethodUse[] {
    return ZERO_METHODS.map((method, index) => {
      const slot = COUNTERS.length + index * PER_METHOD;
      const [bytes, calls, micros] = [0, 1, 2].map((i) => Number(Atomics.load(this.#slots, slot + i)));
      return { method, bytes: bytes ?? 0, calls: calls ?? 0, durationMs: (micros ?? 0) / 1000 };
    }).filter((use) => use.calls > 0);
  }
}
