/**
 * Zeroes exactly the bytes asked for: partial sectors at the ends by writing, the whole sectors between
 * them by the ladder, in calls whose length adapts to the storage. Reports after each call and can be
 * stopped between calls.
 */
import { performance } from 'node:perf_hooks';
import { alignDown, alignUp, end, type Range } from '../../shared/units.js';
import type { Allocation, ZeroMethod } from '../../shared/zero-methods.js';
import type { NativeIo } from '../native/index.js';
import { Capabilities } from './capabilities.js';
import type { TargetHandle } from './handle.js';
import { zeroes } from './scratch.js';
import { writeTarget } from './transfer.js';
import { zeroRange } from './zero-ladder.js';

export interface ZeroMeter {
  /** Called before each system call; throws to stop. */
  check(): void;
  addZeroed(method: ZeroMethod, length: number, durationMs: number): void;
}

/** Nobody listens and nothing stops it. */
export const NO_METER: ZeroMeter = { check() {}, addZeroed() {} };

/**
 * Afterwards `range` reads as zeroes and its neighbours are what they were. Blocks the thread.
 * @param range  any bytes within the target
 * @throws what `zeroRange` throws, and what `meter.check` throws
 */
export function zeroTarget(
  io: NativeIo,
  target: TargetHandle,
  range: Range,
  allocation: Allocation,
  meter: ZeroMeter = NO_METER,
): void {
  if (range.length === 0) return;
  const unit = target.sectorSize;
  const stop = end(range);
  // A file's last page may be partial: the file systems zero it exactly, so it belongs to the middle.
  const reachesEnd = target.kind === 'file' && stop >= target.size;
  const middle = Math.min(alignUp(range.start, unit), stop);
  const tail = reachesEnd ? stop : Math.max(alignDown(stop, unit), middle);
  zeroEdge(io, target, range.start, middle - range.start, meter);
  zeroMiddle(io, target, { start: middle, length: tail - middle }, allocation, meter);
  zeroEdge(io, target, tail, stop - tail, meter);
}

function zeroEdge(io: NativeIo, target: TargetHandle, position: number, length: number, meter: ZeroMeter): void {
  if (length === 0) return;
  meter.check();
  const before = performance.now();
  writeTarget(io, target, zeroes(io), 0, length, position);
  meter.addZeroed('write-zeroes', length, performance.now() - before);
}

function zeroMiddle(io: NativeIo, target: TargetHandle, range: Range, allocation: Allocation, meter: ZeroMeter): void {
  const capabilities = new Capabilities(target);
  let start = range.start;
  while (start < end(range)) {
    meter.check();
    const length = Math.min(capabilities.zeroCallLength, end(range) - start);
    const before = performance.now();
    const method = zeroRange(io, target, { start, length }, allocation);
    const durationMs = performance.now() - before;
    capabilities.learn(length, durationMs);
    meter.addZeroed(method, length, durationMs);
    start += length;
  }
}
