/**
 * How long native calls take: one histogram for each kind of call, in memory that all threads of a pool share.
 * Threads add atomically, the event loop reads when it is asked. No message crosses a thread border.
 */

/** Kinds of calls, as metrics name them; those that zero are named as the methods of the ladder are. */
export const CALLS = [
  'open',
  'close',
  'read',
  'write',
  'flush',
  'fallocate-zero-range',
  'fallocate-punch-hole',
  'fallocate-allocate',
  'blkzeroout',
  'nbd-zero',
  'discard',
  'resize',
  'seek',
  'clone',
  'lock',
  'ask',
  'advise',
] as const;
export type Call = (typeof CALLS)[number];

/** Upper ends of the buckets; one more bucket without an end holds what takes longer. */
export const BOUNDS_SECONDS = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
] as const;

const BOUNDS_MS = BOUNDS_SECONDS.map((seconds) => seconds * 1000);
/** The buckets, then the sum of all durations in nanoseconds: 64 bits of them last for centuries. */
const SLOTS = BOUNDS_MS.length + 2;
const SUM = SLOTS - 1;
/** The first slot of each kind. */
const FIRST = Object.fromEntries(CALLS.map((call, index) => [call, index * SLOTS])) as Readonly<Record<Call, number>>;

export interface CallHistogram {
  /** Calls by bucket, the one without an end last. */
  readonly counts: readonly number[];
  readonly sumSeconds: number;
}

export class CallTimes {
  readonly memory: SharedArrayBuffer;
  readonly #slots: BigInt64Array;

  /** Without `memory`: new histograms, all zero. With it: a view of the same ones on another thread. */
  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(CALLS.length * SLOTS * 8)) {
    this.memory = memory;
    this.#slots = new BigInt64Array(memory);
  }

  add(call: Call, durationMs: number): void {
    const first = FIRST[call];
    let bucket = 0;
    while (bucket < BOUNDS_MS.length && durationMs > (BOUNDS_MS[bucket] as number)) bucket += 1;
    Atomics.add(this.#slots, first + bucket, 1n);
    Atomics.add(this.#slots, first + SUM, BigInt(Math.round(durationMs * 1e6)));
  }

  /** A call that is added meanwhile may be in the counts and not yet in the sum. */
  read(call: Call): CallHistogram {
    const first = FIRST[call];
    const slot = (index: number) => Number(Atomics.load(this.#slots, first + index));
    return { counts: Array.from({ length: SUM }, (_, bucket) => slot(bucket)), sumSeconds: slot(SUM) / 1e9 };
  }
}
