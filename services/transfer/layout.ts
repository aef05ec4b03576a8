/**
 * From extents to steps: pure functions over packed ranges (start, length, …), in order, in bytes.
 * A step is some tens of MiB of data, so that its dispatch costs nothing beside it and a cancel is quick.
 */
import { alignDown, alignUp, MiB, type Range } from '../../shared/units.js';
import { unpack } from '../../workers/tasks/ranges.js';

export const STEP_BYTES = 16 * MiB;
/** A step of very small ranges ends here, so that its time stays bounded too. */
const STEP_RANGES = 1024;
/** One zero step may hold many holes; the ladder splits long ones by itself. */
const ZERO_STEP_BYTES = 4096 * MiB;

/**
 * Widens ranges to whole units and joins those that touch or lie closer than `joinBelow`.
 * What is added reads as zeroes in the source, so copying it changes nothing.
 */
export function alignRanges(ranges: Float64Array, unit: number, limit: number, joinBelow: number): Float64Array {
  const out: number[] = [];
  for (const range of unpack(ranges)) {
    const start = alignDown(range.start, unit);
    const stop = Math.min(alignUp(range.start + range.length, unit), limit);
    const last = out.length - 2;
    const lastStop = last < 0 ? -1 : (out[last] ?? 0) + (out[last + 1] ?? 0);
    if (last >= 0 && start - lastStop < Math.max(joinBelow, 1)) {
      out[last + 1] = Math.max(lastStop, stop) - (out[last] ?? 0);
    } else {
      out.push(start, stop - start);
    }
  }
  return Float64Array.from(out);
}

/** What lies between the ranges, from 0 to `limit`. */
export function gaps(ranges: Float64Array, limit: number): Float64Array {
  const out: number[] = [];
  let position = 0;
  for (const range of unpack(ranges)) {
    if (range.start > position) out.push(position, range.start - position);
    position = Math.max(position, range.start + range.length);
  }
  if (limit > position) out.push(position, limit - position);
  return Float64Array.from(out);
}

export function sum(ranges: Float64Array): number {
  let total = 0;
  for (const range of unpack(ranges)) total += range.length;
  return total;
}

/** The first range of at least `enough` bytes, else the longest one of at least a sixteenth of that, else null. */
export function longest(ranges: Float64Array, enough: number): Range | null {
  let found: Range | null = null;
  for (const range of unpack(ranges)) {
    if (range.length >= enough) return range;
    if (range.length >= enough / 16 && range.length > (found?.length ?? 0)) found = range;
  }
  return found;
}

export function* copySteps(ranges: Float64Array): Generator<Float64Array> {
  yield* packSteps(ranges, STEP_BYTES);
}

export function* zeroSteps(ranges: Float64Array): Generator<Float64Array> {
  yield* packSteps(ranges, ZERO_STEP_BYTES);
}

/** Splits long ranges at multiples of `stepBytes` and lets short neighbours share a step. */
function* packSteps(ranges: Float64Array, stepBytes: number): Generator<Float64Array> {
  let step: number[] = [];
  let length = 0;
  for (const range of unpack(ranges)) {
    for (const part of split(range, stepBytes)) {
      step.push(part.start, part.length);
      length += part.length;
      if (length >= stepBytes || step.length >= STEP_RANGES * 2) {
        yield Float64Array.from(step);
        step = [];
        length = 0;
      }
    }
  }
  if (step.length > 0) yield Float64Array.from(step);
}

function* split(range: Range, stepBytes: number): Generator<Range> {
  const stop = range.start + range.length;
  let start = range.start;
  while (start < stop) {
    const cut = Math.min(alignDown(start, stepBytes) + stepBytes, stop);
    yield { start, length: cut - start };
    start = cut;
  }
}

export function countSteps(steps: Iterable<unknown>): number {
  let count = 0;
  for (const _ of steps) count += 1;
  return count;
}
