/** Which ranges a zero job settles, and its plan. */

import { FerryError } from '../../shared/errors.js';
import type { Plan, ZeroRequest } from '../../shared/schemas/job.js';
import { storageName } from '../../shared/storage-name.js';
import { end, type Range } from '../../shared/units.js';
import { countSteps, sum, zeroSteps } from './layout.js';
import type { TargetFacts } from './plan.js';

/** The ranges that a zero job settles, in order, overlaps joined. @throws FerryError RANGE_OUTSIDE_TARGET */
export function settledRanges(request: ZeroRequest, targetSize: number): Range[] {
  if (request.ranges === undefined) return [{ start: 0, length: targetSize }];
  const joined: Range[] = [];
  for (const range of [...request.ranges].sort((a, b) => a.start - b.start)) {
    if (end(range) > targetSize) {
      const field = `ranges[${request.ranges.indexOf(range)}]`;
      throw new FerryError(
        'RANGE_OUTSIDE_TARGET',
        `${field} ends at byte ${end(range)}, the target has ${targetSize}`,
        { field, path: storageName(request.target) },
      );
    }
    const last = joined.at(-1);
    if (last === undefined || range.start > end(last)) joined.push({ ...range });
    else joined[joined.length - 1] = { start: last.start, length: Math.max(end(last), end(range)) - last.start };
  }
  return joined;
}

export function zeroPlan(
  request: ZeroRequest,
  target: Pick<TargetFacts, 'size' | 'sectorSize' | 'directRefusal' | 'zeroMethods' | 'created'>,
  ranges: Float64Array,
): Plan {
  return {
    strategy: 'zero-holes',
    proof: 'none',
    reason: request.ranges === undefined ? 'the whole target is zeroed' : 'the given ranges are zeroed',
    allocation: request.options.allocation,
    zeroMethods: [...target.zeroMethods],
    directIo: target.directRefusal === null,
    sectorSize: target.sectorSize,
    imageBytes: 0,
    targetBytes: target.size,
    dataBytes: 0,
    zeroBytes: sum(ranges),
    tailBytes: 0,
    extents: 0,
    steps: countSteps(zeroSteps(ranges)),
    warnings: [],
    estimateSeconds: null,
  };
}
