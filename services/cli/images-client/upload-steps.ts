/**
 * What an upload does, block by block and in order: which blocks are read and sent, and which ranges are zeroed. A block
 * is sent as a whole by one lane, so its size is what is lost when a connection breaks, and what a digest is made of.
 */
import { touches } from '../../../shared/ranges.js';
import { GiB, MiB, type Range } from '../../../shared/units.js';

export const BLOCK = 4 * MiB;
/** Storage that has to write zeroes answers within seconds, and progress is seen. */
const LONGEST_ZERO = GiB;

export type UploadStep =
  | {
      readonly kind: 'data';
      readonly range: Range;
      /** False: the server has it already, only its digest is wanted. */
      readonly send: boolean;
    }
  /** Nothing but holes. */
  | { readonly kind: 'hole'; readonly range: Range };

export interface UploadPlan {
  readonly size: number;
  /** Packed ranges that may hold data. */
  readonly data: Float64Array;
  /** Packed ranges that the server does not have yet. */
  readonly missing: Float64Array;
  /** Whether every block with data is read, for its digest. */
  readonly digests: boolean;
}

export function* uploadSteps({ size, data, missing, digests }: UploadPlan): Generator<UploadStep> {
  let hole: Range = { start: 0, length: 0 };
  for (let start = 0; start < size; start += BLOCK) {
    const length = Math.min(BLOCK, size - start);
    const hasData = touches(data, start, start + length);
    const send = touches(missing, start, start + length);
    if (!hasData && send && hole.length + length <= LONGEST_ZERO) {
      hole = { start: hole.length === 0 ? start : hole.start, length: hole.length + length };
      continue;
    }
    if (hole.length > 0) yield { kind: 'hole', range: hole };
    hole = { start, length: !hasData && send ? length : 0 };
    if (hasData && (send || digests)) yield { kind: 'data', range: { start, length }, send };
  }
  if (hole.length > 0) yield { kind: 'hole', range: hole };
}
