/**
 * Bytes, ranges and how both are written for people.
 * A bare `size`, `start` or `length` is always bytes; a range covers [start, start + length).
 * All are whole numbers up to 2^53 - 1 (design §1).
 */
import prettyBytes from 'pretty-bytes';

export type Bytes = number & { readonly unit: 'bytes' };

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;

export interface Range {
  readonly start: number;
  readonly length: number;
}

/**
 * Checks a number once, where it enters; its type remembers.
 * @throws RangeError naming `name` when `n` is no whole number from 0 to 2^53 - 1
 */
export function bytes(name: string, n: number): Bytes {
  if (Number.isSafeInteger(n) && n >= 0) return n as Bytes;
  throw new RangeError(`${name} must be a whole number of bytes, 0 or more; got ${n}`);
}

export function end(range: Range): number {
  return range.start + range.length;
}

/** The largest multiple of `unit` that is not above `n`. */
export function alignDown(n: number, unit: number): number {
  return n - (n % unit);
}

/** The smallest multiple of `unit` that is not below `n`. */
export function alignUp(n: number, unit: number): number {
  return alignDown(n + unit - 1, unit);
}

/** For people: `6 GiB`, `512 B`. */
export function formatBytes(n: number): string {
  return prettyBytes(n, { binary: true, maximumFractionDigits: 1 });
}

/** Sum of the lengths of `ranges`, in bytes. */
export function totalLength(ranges: Iterable<Range>): number {
  let total = 0;
  for (const range of ranges) total += range.length;
  return total;
}
