/** Tells data from zeroes in what was read, in runs that are cut at multiples of a granule of the image. */
import { alignUp, KiB } from '../../shared/units.js';
import type { NativeIo } from '../native/index.js';

/** Zeroes shorter than this are moved like data: a call of their own would cost more. */
const GRANULE = 64 * KiB;

export interface Run {
  /** In the buffer. */
  readonly offset: number;
  readonly length: number;
  readonly isZero: boolean;
}

/**
 * Runs of buffer[0, length), in order and without gaps; of two neighbours one is zeroes and one is data.
 * @param position  where in the image the buffer begins
 */
export function* runsOf(io: NativeIo, buffer: Uint8Array, length: number, position: number): Generator<Run> {
  let start = 0;
  let wasZero: boolean | null = null;
  for (let offset = 0; offset < length; ) {
    const stop = Math.min(alignUp(position + offset + 1, GRANULE) - position, length);
    const isZero = io.isZero(buffer, offset, stop - offset);
    if (wasZero !== null && isZero !== wasZero) {
      yield { offset: start, length: offset - start, isZero: wasZero };
      start = offset;
    }
    wasZero = isZero;
    offset = stop;
  }
  if (wasZero !== null) yield { offset: start, length: length - start, isZero: wasZero };
}
