/**
 * What zeroing costs on a target, found by doing it: one short call and one longer one.
 * The planner decides by it whether one zero over the whole target beats zeroing hole by hole.
 */
import { performance } from 'node:perf_hooks';
import { alignDown, KiB, MiB, type Range } from '../../shared/units.js';
import type { Allocation, ZeroMethod } from '../../shared/zero-methods.js';
import type { NativeIo } from '../native/index.js';
import type { TargetHandle } from './handle.js';
import { zeroRange } from './zero-ladder.js';

export interface ZeroCost {
  /** What every call costs, however short. */
  readonly callMs: number;
  /** What a byte costs on top of that; Infinity where it was too quick to be measured. */
  readonly bytesPerSecond: number;
  /** The method that was used. */
  readonly method: ZeroMethod;
}

const SHORT = 64 * KiB;
/** Long enough to tell writing from not writing, short enough to be no loss when zeroing writes. */
export const PROBE_BYTES = 16 * MiB;

/**
 * Zeroes up to 16 MiB at the start of `range` and times it. Blocks the thread.
 * @param range  bytes that the job overwrites or zeroes anyway
 * @returns      null when the range is too short to tell
 * @throws what `zeroRange` throws
 */
export function measureZeroCost(
  io: NativeIo,
  target: TargetHandle,
  range: Range,
  allocation: Allocation,
): ZeroCost | null {
  const unit = target.sectorSize;
  const long = alignDown(Math.min(PROBE_BYTES, range.length), unit);
  if (range.start % unit !== 0 || long < 4 * SHORT) return null;
  const time = (length: number): [number, ZeroMethod] => {
    const before = performance.now();
    const method = zeroRange(io, target, { start: range.start, length }, allocation);
    return [performance.now() - before, method];
  };
  // The first call pays for refused methods, for the file's lock and for cold metadata.
  time(SHORT);
  const [shortMs] = time(SHORT);
  const [longMs, method] = time(long);
  const perByteMs = (longMs - shortMs) / (long - SHORT);
  return { callMs: Math.min(shortMs, longMs), bytesPerSecond: perByteMs > 0 ? 1000 / perByteMs : Infinity, method };
}
