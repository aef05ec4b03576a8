/** Where the data of a made-up disk image lies: the same for the same seed. Bytes, in whole pages. */
import { alignDown, alignUp, KiB, MiB, type Range } from '../../shared/units.js';

const PAGE = 4 * KiB;

/** Numbers from 0 to 1 (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * As in a file system that was used for a while: most segments are small, most bytes are in large ones (4 KiB to
 * 100 MiB, Pareto with exponent one half).
 * @param dataBytes  of all segments together, to the page
 */
export function usedDisk(imageBytes: number, dataBytes: number, seed: number): Range[] {
  const next = random(seed);
  const most = Math.min(100 * MiB, alignDown(dataBytes / 4, PAGE));
  const lengths = [most];
  for (let left = dataBytes - most; left > 0; ) {
    const wanted = alignUp(PAGE / (1 - next() * (1 - Math.sqrt(PAGE / most))) ** 2, PAGE);
    const length = Math.min(wanted, most, alignUp(left, PAGE));
    lengths.push(length);
    left -= length;
  }
  return spread(imageBytes, shuffled(lengths, next), next);
}

/** Many small segments far apart. */
export function scattered(imageBytes: number, dataBytes: number, count: number, seed: number): Range[] {
  const next = random(seed);
  const mean = dataBytes / count / PAGE;
  // From one page to twice the mean less one.
  const lengths = Array.from({ length: count }, () => PAGE * (1 + Math.floor(next() * (2 * mean - 1))));
  return spread(imageBytes, lengths, next);
}

/** Puts segments in this order, with holes of random lengths before, between and after them. */
function spread(imageBytes: number, lengths: readonly number[], next: () => number): Range[] {
  const used = lengths.reduce((total, length) => total + length, 0);
  const free = imageBytes - used;
  // Every hole has a page of its own, so that no two segments touch.
  const shared = free - (lengths.length + 1) * PAGE;
  if (shared < 0) throw new Error('the segments do not fit');
  const weights = Array.from({ length: lengths.length + 1 }, () => -Math.log(1 - next()));
  const scale = shared / weights.reduce((total, weight) => total + weight, 0);
  let at = 0;
  return lengths.map((length, index) => {
    const start = at + PAGE + alignDown((weights[index] as number) * scale, PAGE);
    at = start + length;
    return { start, length };
  });
}

function shuffled<T>(items: T[], next: () => number): T[] {
  for (let last = items.length - 1; last > 0; last -= 1) {
    const other = Math.floor(next() * (last + 1));
    [items[last], items[other]] = [items[other] as T, items[last] as T];
  }
  return items;
}
