/**
 * From extents to steps: pure functions over packed ranges (start, length, …), in order, in bytes.
 * A step is some tens of MiB of data, so that its dispatch costs nothing beside it and a cancel is quick.
 */

import { unpack } from '../../shared/ranges.js';
import { alignDown, alignUp, MiB, type Range } from '../../shared/units.js';

export const STEP_BYTES = 16 * MiB;
/** No byte moves, whatever the length; a stop should not wait for a whole image all the same. */
export const CLONE_STEP_BYTES = 1024 * MiB;
/** A step of very small ranges ends here, so that its time stays bounded too. */
const STEP_RANGES = 1024;
/** The ladder splits long holes by itself; a step that was stopped half-way is done again as a whole. */
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

/** @returns the first so many bytes of the ranges, and the others */
export function cut(ranges: Float64Array, length: number): [Float64Array, Float64Array] {
  const [first, others]: [number[], number[]] = [[], []];
  let left = length;
  for (const range of unpack(ranges)) {
    const here = Math.min(left, range.length);
    if (here > 0) first.push(range.start, here);
    if (here < range.length) others.push(range.start + here, range.length - here);
    left -= here;
  }
  return [Float64Array.from(first), Float64Array.from(others)];
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

export interface Step {
  readonly ranges: Float64Array;
  /** Bytes of `ranges` together. */
  readonly length: number;
  /** From the end of the step before to the end of this one: when it is done, all of that is settled. */
  readonly span: Range;
}

/** @param stepBytes  asked before each step: a limited job goes in shorter ones */
export function* copySteps(ranges: Float64Array, stepBytes = () => STEP_BYTES): Generator<Step> {
  yield* packSteps(ranges, stepBytes);
}

export function* zeroSteps(ranges: Float64Array, stepBytes = () => ZERO_STEP_BYTES): Generator<Step> {
  yield* packSteps(ranges, stepBytes);
}

/** Splits long ranges at multiples of the step's bytes and lets short neighbours share a step. */
function* packSteps(ranges: Float64Array, stepBytes: () => number): Generator<Step> {
  let step: number[] = [];
  let length = 0;
  let settled = 0;
  let most = stepBytes();
  const cut = (): Step => {
    const stop = (step.at(-2) ?? 0) + (step.at(-1) ?? 0);
    const span = { start: settled, length: stop - settled };
    settled = stop;
    return { ranges: Float64Array.from(step), length, span };
  };
  for (const range of unpack(ranges)) {
    const stop = range.start + range.length;
    let start = range.start;
    while (start < stop) {
      const end = Math.min(alignDown(start, most) + most, stop);
      step.push(start, end - start);
      length += end - start;
      start = end;
      if (length >= most || step.length >= STEP_RANGES * 2) {
        yield cut();
        step = [];
        length = 0;
        most = stepBytes();
      }
    }
  }
  if (step.length > 0) yield cut();
}

export function countSteps(steps: Iterable<unknown>): number {
  let count = 0;
  for (const _ of steps) count += 1;
  return count;
}
