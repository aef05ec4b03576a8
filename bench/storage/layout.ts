/**
 * Where the data of a made-up image lies: segments of mixed sizes, few large and many small, strewn over the image.
 * All are whole blocks of 4 KiB. Nothing is read or written here.
 */
import { end, KiB, type Range } from '../../shared/units.js';
import { randomNumbers } from './random.js';

export const BLOCK = 4 * KiB;

export interface Mix {
  readonly imageBytes: number;
  /** Sum of all segments. */
  readonly dataBytes: number;
  readonly segments: number;
  /** Of one segment. Both occur. */
  readonly smallest: number;
  readonly largest: number;
}

/**
 * @returns exactly `mix.segments` ranges in ascending order, apart from each other, that add up to `mix.dataBytes`;
 *   the same for the same seed
 * @throws RangeError when there is no such layout, or a number is no whole number of blocks
 */
export function layOut(mix: Mix, seed: number): Range[] {
  const { imageBytes, dataBytes, segments, smallest, largest } = mix;
  for (const [name, value] of Object.entries({ imageBytes, dataBytes, smallest, largest })) {
    if (value % BLOCK !== 0) throw new RangeError(`${name} must be a multiple of ${BLOCK}; got ${value}`);
  }
  const free = imageBytes - dataBytes - segments * BLOCK;
  if (dataBytes < segments * smallest || dataBytes > segments * largest || free < 0) {
    throw new RangeError(`${segments} segments of ${smallest} to ${largest} cannot hold ${dataBytes} of ${imageBytes}`);
  }
  const next = randomNumbers(seed);
  const sizes = drawSizes(mix, next);
  // Exponential gaps: segments bunch up, as files do.
  const weights = sizes.map(() => -Math.log(1 - next()));
  const sum = weights.reduce((total, weight) => total + weight, 0) - Math.log(1 - next());
  const ranges: Range[] = [];
  let at = 0;
  sizes.forEach((length, i) => {
    const gap = BLOCK + wholeBlocks(((weights[i] as number) / sum) * free);
    ranges.push({ start: at + gap, length });
    at += gap + length;
  });
  return ranges;
}

/** What lies between `ranges`, which are in ascending order, up to `size`. */
export function holesBetween(ranges: readonly Range[], size: number): Range[] {
  const holes: Range[] = [];
  let at = 0;
  for (const range of [...ranges, { start: size, length: 0 }]) {
    if (range.start > at) holes.push({ start: at, length: range.start - at });
    at = end(range);
  }
  return holes;
}

/** Sizes run from the smallest to the largest by u^bend, in powers; `bend` is sought so that the sum fits. */
function drawSizes({ dataBytes, segments, smallest, largest }: Mix, next: () => number): number[] {
  const draws = Array.from({ length: segments }, next);
  draws[0] = 0;
  if (segments > 1) draws[Math.floor(segments / 2)] = 1;
  const sizeOf = (u: number, bend: number) =>
    Math.max(smallest, wholeBlocks(smallest * (largest / smallest) ** (u ** bend)));
  const total = (bend: number) => draws.reduce((sum, u) => sum + sizeOf(u, bend), 0);
  // The sum falls as the bend grows.
  let [low, high] = [1e-3, 1e3];
  for (let i = 0; i < 30; i += 1) {
    const bend = Math.sqrt(low * high);
    if (total(bend) > dataBytes) low = bend;
    else high = bend;
  }
  const sizes = draws.map((u) => sizeOf(u, high));
  let missing = (dataBytes - totalOf(sizes)) / BLOCK;
  for (let i = 0; missing !== 0; i = (i + 1) % segments) {
    const changed = (sizes[i] as number) + Math.sign(missing) * BLOCK;
    // The first and the largest stay what they are, while there are others.
    if ((draws[i] === 0 || draws[i] === 1) && segments > 2) continue;
    if (changed < smallest || changed > largest) continue;
    sizes[i] = changed;
    missing -= Math.sign(missing);
  }
  return sizes;
}

function totalOf(sizes: readonly number[]): number {
  return sizes.reduce((sum, size) => sum + size, 0);
}

function wholeBlocks(bytes: number): number {
  return Math.floor(bytes / BLOCK) * BLOCK;
}
