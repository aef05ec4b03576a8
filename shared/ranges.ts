/** Packed ranges: start, length, start, length, … */
import type { Range } from './units.js';

export function* unpack(pairs: Float64Array): Generator<Range> {
  for (let i = 0; i + 1 < pairs.length; i += 2) yield { start: pairs[i] ?? 0, length: pairs[i + 1] ?? 0 };
}

export function pack(ranges: readonly Range[]): Float64Array {
  const pairs = new Float64Array(ranges.length * 2);
  ranges.forEach((range, i) => {
    pairs[2 * i] = range.start;
    pairs[2 * i + 1] = range.length;
  });
  return pairs;
}

/** Whether any of the ranges, which are in order, has a byte in [start, stop). */
export function touches(pairs: Float64Array, start: number, stop: number): boolean {
  const first = 2 * firstEndingBehind(pairs, start);
  return first < pairs.length && (pairs[first] ?? 0) < stop;
}

/** The ranges, which are in order, that touch [start, stop). */
export function slice(pairs: Float64Array, start: number, stop: number): Float64Array {
  const first = 2 * firstEndingBehind(pairs, start);
  let last = first;
  while (last < pairs.length && (pairs[last] ?? 0) < stop) last += 2;
  return pairs.slice(first, last);
}

/** Bytes of [start, stop) that lie in the ranges, which are in order. */
export function overlap(pairs: Float64Array, start: number, stop: number): number {
  let total = 0;
  for (const range of unpack(slice(pairs, start, stop))) {
    total += Math.min(range.start + range.length, stop) - Math.max(range.start, start);
  }
  return total;
}

/** Number of the first range that ends behind `position`, by bisection: there may be a hundred thousand. */
function firstEndingBehind(pairs: Float64Array, position: number): number {
  let low = 0;
  let high = pairs.length / 2;
  while (low < high) {
    const mid = (low + high) >>> 1;
    if ((pairs[2 * mid] ?? 0) + (pairs[2 * mid + 1] ?? 0) > position) high = mid;
    else low = mid + 1;
  }
  return low;
}
