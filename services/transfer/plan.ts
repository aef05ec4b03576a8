/** The plan of an upload, from facts alone: what the source holds, what the target can do, and so what is done. */

import type { Plan, UploadRequest } from '../../shared/schemas/job.js';
import { formatBytes } from '../../shared/units.js';
import type { ZeroMethod } from '../../shared/zero-methods.js';
import type { StorageKind } from '../../workers/storage/handle.js';
import { FILE_UNIT, FIRST_CALL } from '../../workers/storage/handle.js';
import type { ZeroCost } from '../../workers/storage/zero-cost.js';
import { alignRanges, CLONE_STEP_BYTES, copySteps, countSteps, gaps, STEP_BYTES, sum, zeroSteps } from './layout.js';
import { chooseStrategy, joinBelow, type Strategy, timeMs } from './strategy.js';

export interface TargetFacts {
  readonly kind: StorageKind;
  readonly size: number;
  readonly sectorSize: number;
  readonly created: boolean;
  readonly readsZero: boolean;
  readonly directRefusal: string | null;
  readonly zeroMethods: readonly ZeroMethod[];
}

/** An upload's geometry: everything that follows from extents and sizes alone. */
export interface UploadLayout {
  readonly imageBytes: number;
  /** Where the job ends: the image, or the target where its tail is zeroed. */
  readonly totalBytes: number;
  readonly data: Float64Array;
  readonly holes: Float64Array;
  readonly extents: number;
}

export function layOut(
  request: UploadRequest,
  imageBytes: number,
  target: Pick<TargetFacts, 'size' | 'sectorSize'>,
  extents: Float64Array,
): UploadLayout {
  const unit = Math.max(target.sectorSize, FILE_UNIT);
  const data = alignRanges(extents, unit, imageBytes, joinBelow(request.options.allocation));
  const totalBytes = request.options.zeroTail ? target.size : imageBytes;
  return { imageBytes, totalBytes, data, holes: gaps(data, totalBytes), extents: extents.length / 2 };
}

/** What a strategy zeroes by calls of its own. @param readsZero  the target reads as zeroes where nothing is written */
export function zeroedRanges({ strategy }: Strategy, layout: UploadLayout, readsZero: boolean): Float64Array {
  const { imageBytes, totalBytes } = layout;
  if (strategy === 'zero-first') return Float64Array.of(0, totalBytes);
  if (strategy === 'zero-holes') return layout.holes;
  // The holes of the image are cloned like its data; what comes after it is not.
  if (strategy === 'clone' && totalBytes > imageBytes && !readsZero) {
    return Float64Array.of(imageBytes, totalBytes - imageBytes);
  }
  return new Float64Array();
}

/** What it copies or clones. */
export function copiedRanges({ strategy }: Strategy, layout: UploadLayout): Float64Array {
  return strategy === 'clone' ? Float64Array.of(0, layout.imageBytes) : layout.data;
}

function copyStepBytes({ strategy }: Strategy): number {
  return strategy === 'clone' ? CLONE_STEP_BYTES : STEP_BYTES;
}

export function makePlan(
  request: UploadRequest,
  target: TargetFacts,
  layout: UploadLayout,
  cost: ZeroCost | null,
  strategy: Strategy = chooseUpload(request, target, layout, cost),
): Plan {
  const { options } = request;
  const dataBytes = sum(layout.data);
  const zeroing = zeroedRanges(strategy, layout, target.readsZero);
  const steps =
    countSteps(copySteps(copiedRanges(strategy, layout), () => copyStepBytes(strategy))) +
    countSteps(zeroSteps(zeroing));
  return {
    ...strategy,
    allocation: options.allocation,
    zeroMethods: [...target.zeroMethods],
    directIo: target.directRefusal === null,
    sectorSize: target.sectorSize,
    imageBytes: layout.imageBytes,
    targetBytes: target.size,
    dataBytes,
    zeroBytes: layout.totalBytes - dataBytes,
    tailBytes: target.size - layout.imageBytes,
    extents: layout.extents,
    steps,
    warnings: warnings(request, target, layout),
    estimateSeconds: cost === null ? null : timeMs(cost, sum(zeroing), zeroing.length / 2) / 1000,
  };
}

export function chooseUpload(
  request: UploadRequest,
  target: TargetFacts,
  layout: UploadLayout,
  cost: ZeroCost | null,
): Strategy {
  return chooseStrategy({
    ...target,
    allocation: request.options.allocation,
    totalBytes: layout.totalBytes,
    holes: layout.holes.length / 2,
    holeBytes: sum(layout.holes),
    cost,
    callBytes: FIRST_CALL,
  });
}

function warnings(request: UploadRequest, target: TargetFacts, layout: UploadLayout): string[] {
  const found: string[] = [];
  if (target.directRefusal !== null) found.push(`direct I/O is not used: ${target.directRefusal}`);
  const tail = target.size - layout.imageBytes;
  if (tail > 0 && !request.options.zeroTail) {
    found.push(`${formatBytes(tail)} behind the image keep what is there now (zeroTail is off)`);
  }
  if (request.options.targetIsZero && !target.created) found.push('nothing checks that the target reads as zeroes');
  return found;
}
