/**
 * How the zeroes of an image get onto a target: one zero over all of it and then data only, hole by
 * hole, or not at all. Decided by what is proven and by what was measured, never by a guess: peers that
 * assumed a zero target corrupted encrypted volumes.
 */
import type { Plan } from '../../shared/schemas/job.js';
import { formatBytes, MiB } from '../../shared/units.js';
import type { Allocation } from '../../shared/zero-methods.js';
import type { StorageKind } from '../../workers/storage/handle.js';
import type { ZeroCost } from '../../workers/storage/zero-cost.js';

export interface StrategyFacts {
  readonly kind: StorageKind;
  readonly allocation: Allocation;
  readonly created: boolean;
  readonly readsZero: boolean;
  /** Bytes that the job settles: the image and, where asked, the tail. */
  readonly totalBytes: number;
  readonly holes: number;
  readonly holeBytes: number;
  /** What zeroing costs here; null when nothing is to be zeroed or it could not be measured. */
  readonly cost: ZeroCost | null;
  /** How long one zero call may be at first. */
  readonly callBytes: number;
}

export type Strategy = Pick<Plan, 'strategy' | 'proof' | 'reason'>;

/** Whether a target that reads as zeroes still needs the ladder: a preallocated file wants its space reserved. */
export function needsZeroing(facts: Pick<StrategyFacts, 'kind' | 'allocation' | 'readsZero' | 'holes'>): boolean {
  if (facts.holes === 0) return false;
  return !facts.readsZero || (facts.kind === 'file' && facts.allocation === 'preallocated');
}

export function chooseStrategy(facts: StrategyFacts): Strategy {
  if (!needsZeroing(facts)) return withoutZeroing(facts);
  const { cost } = facts;
  if (cost === null) {
    return { strategy: 'zero-holes', proof: 'none', reason: 'the target is too small to measure what zeroing costs' };
  }
  const firstMs = timeMs(cost, facts.totalBytes, Math.ceil(facts.totalBytes / facts.callBytes));
  const holesMs = timeMs(cost, facts.holeBytes, facts.holes);
  const measured = describe(cost);
  return firstMs <= holesMs
    ? { strategy: 'zero-first', proof: 'zeroed', reason: `${measured}: one zero over the target, then data only` }
    : { strategy: 'zero-holes', proof: 'none', reason: `${measured}: only ${facts.holes} holes are zeroed` };
}

function withoutZeroing(facts: Pick<StrategyFacts, 'created' | 'readsZero' | 'holes'>): Strategy {
  const proof = facts.created ? 'created' : facts.readsZero ? 'declared' : 'none';
  if (facts.holes === 0) return { strategy: 'no-zero', proof, reason: 'the image has no holes' };
  const reason = facts.created
    ? 'the file was made by this job and reads as zeroes'
    : 'the request says that the target reads as zeroes';
  return { strategy: 'no-zero', proof, reason };
}

/** Both files are in one file system that lets them share blocks: it did for the first one. */
export const CLONE: Strategy = {
  strategy: 'clone',
  proof: 'none',
  reason: 'source and target are in one file system: the target shares the blocks of the source',
};

/** Milliseconds that zeroing `length` bytes in `calls` calls takes. */
export function timeMs(cost: ZeroCost, length: number, calls: number): number {
  return calls * cost.callMs + (length / cost.bytesPerSecond) * 1000;
}

function describe(cost: ZeroCost): string {
  const rate = Number.isFinite(cost.bytesPerSecond)
    ? `zeroes ${formatBytes(cost.bytesPerSecond)}/s`
    : 'is too quick to measure';
  return `${cost.method} ${rate} at ${cost.callMs.toFixed(2)} ms a call`;
}

/** Data closer together than this is copied in one go on a preallocated target: a hole costs more calls than bytes. */
export function joinBelow(allocation: Allocation): number {
  return allocation === 'preallocated' ? MiB / 16 : 0;
}
