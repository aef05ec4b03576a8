/**
 * Which parts of a target are settled: disjoint ranges in order, however the steps that settle them end. Steps run
 * nearly in order, so a few ranges say it all, also for an image of a hundred thousand extents.
 */

import { unpack } from './ranges.js';
import { end, type Range } from './units.js';

export class Coverage {
  readonly #ranges: Range[] = [];
  #bytes = 0;

  constructor(packed: readonly number[] = []) {
    for (const range of unpack(Float64Array.from(packed))) this.add(range);
  }

  add(range: Range): void {
    if (range.length === 0) return;
    let { start } = range;
    let stop = end(range);
    const first = this.#firstEndingAt(start);
    let last = first;
    for (; last < this.#ranges.length; last += 1) {
      const known = this.#ranges[last] as Range;
      if (known.start > stop) break;
      start = Math.min(start, known.start);
      stop = Math.max(stop, end(known));
      this.#bytes -= known.length;
    }
    this.#bytes += stop - start;
    this.#ranges.splice(first, last - first, { start, length: stop - start });
  }

  /** Many ranges at once, in order and disjoint: as cheap as looking at all there are. */
  addAll(packed: readonly number[]): void {
    const known = this.#ranges.splice(0);
    this.#bytes = 0;
    let next = 0;
    for (let at = 0; at + 1 < packed.length || next < known.length; ) {
      const given = packed[at];
      const own = known[next];
      if (given === undefined || (own !== undefined && own.start <= given)) {
        this.#append((own as Range).start, (own as Range).length);
        next += 1;
      } else {
        this.#append(given, packed[at + 1] as number);
        at += 2;
      }
    }
  }

  /** A range that starts at or behind the start of the last one. */
  #append(start: number, length: number): void {
    if (length === 0) return;
    const last = this.#ranges.at(-1);
    if (last === undefined || end(last) < start) {
      this.#ranges.push({ start, length });
      this.#bytes += length;
      return;
    }
    const more = start + length - end(last);
    if (more <= 0) return;
    this.#ranges[this.#ranges.length - 1] = { start: last.start, length: last.length + more };
    this.#bytes += more;
  }

  /** Sum of the ranges. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Number of the first range that ends at or behind `position`, by bisection: clients may write in any order. */
  #firstEndingAt(position: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const mid = (low + high) >>> 1;
      if (end(this.#ranges[mid] as Range) >= position) high = mid;
      else low = mid + 1;
    }
    return low;
  }

  /** start, length, start, length, … */
  toPacked(): number[] {
    const packed: number[] = [];
    for (const { start, length } of this.#ranges) packed.push(start, length);
    return packed;
  }

  /** The parts of `packed` ranges, which are in order, that are not settled. */
  rest(packed: Float64Array): Float64Array {
    if (this.#ranges.length === 0) return packed;
    const out: number[] = [];
    let next = 0;
    for (const range of unpack(packed)) {
      let { start } = range;
      const stop = end(range);
      while (next < this.#ranges.length && end(this.#ranges[next] as Range) <= start) next += 1;
      for (let at = next; at < this.#ranges.length && start < stop; at += 1) {
        const known = this.#ranges[at] as Range;
        if (known.start >= stop) break;
        if (known.start > start) out.push(start, known.start - start);
        start = Math.max(start, end(known));
      }
      if (start < stop) out.push(start, stop - start);
    }
    return Float64Array.from(out);
  }
}
