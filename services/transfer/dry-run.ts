/** A dry run: the plan of a job, made by looking only. Nothing is written, created, resized or kept open. */

import { FerryError } from '../../shared/errors.js';
import type { StorageLimits } from '../../shared/nbd-roots.js';
import { pack } from '../../shared/ranges.js';
import {
  isClientUpload,
  type JobRequest,
  type Plan,
  type StoredUpload,
  type ZeroRequest,
} from '../../shared/schemas/job.js';
import { ControlBlock } from '../../workers/control.js';
import type { Workers } from '../../workers/pool.js';
import { sourceRequest, targetRequest } from './job.js';
import { chooseUpload, layOut, makePlan, type TargetFacts, type UploadLayout } from './plan.js';
import { needsZeroing, type Strategy } from './strategy.js';
import { settledRanges, zeroPlan } from './zero-plan.js';

/** @throws what opening the job's source and target throws */
export async function planJob(workers: Workers, limits: StorageLimits, request: JobRequest): Promise<Plan> {
  if (request.kind === 'zero') return await planZero(workers, limits, request);
  if (request.kind === 'download' || isClientUpload(request)) {
    throw new FerryError('NOT_SUPPORTED', 'a job whose client does the work has no plan', { field: 'kind' });
  }
  return await planUpload(workers, limits, request as StoredUpload);
}

async function planUpload(workers: Workers, limits: StorageLimits, request: StoredUpload): Promise<Plan> {
  const source = await workers.run('openSource', sourceRequest(request.source, limits));
  try {
    const extents = await workers.run('extents', { handle: source, control: new ControlBlock().memory });
    const seen = await workers.run('inspect', {
      ...targetRequest(request, limits, 1),
      neededBytes: source.size,
      source: source.identity,
      allocation: request.options.allocation,
    });
    const facts: TargetFacts = {
      ...seen,
      kind: request.target.type,
      created: !seen.exists,
      readsZero: !seen.exists || request.options.targetIsZero,
    };
    const layout = layOut(request, source.size, seen, extents);
    return makePlan(request, facts, layout, null, guess(request, facts, layout, seen.cheapZero));
  } finally {
    await workers.run('close', { handles: [source] });
  }
}

/** What the job will most likely choose; it measures before it chooses, a dry run must not. */
function guess(request: StoredUpload, target: TargetFacts, layout: UploadLayout, cheapZero: boolean | null): Strategy {
  const { allocation } = request.options;
  const holes = layout.holes.length / 2;
  if (!needsZeroing({ ...target, allocation, holes })) return chooseUpload(request, target, layout, null);
  const undecided = 'the job measures what zeroing costs and decides then';
  return cheapZero === false && allocation === 'preallocated'
    ? { strategy: 'zero-holes', proof: 'none', reason: `the device cannot zero by itself; ${undecided}` }
    : { strategy: 'zero-first', proof: 'zeroed', reason: `zeroing is thought to be cheap here; ${undecided}` };
}

async function planZero(workers: Workers, limits: StorageLimits, request: ZeroRequest): Promise<Plan> {
  const seen = await workers.run('inspect', {
    ...targetRequest(request, limits, 1),
    neededBytes: 0,
    source: null,
    allocation: request.options.allocation,
  });
  const ranges = pack(settledRanges(request, seen.size));
  return zeroPlan(request, { ...seen, created: !seen.exists }, ranges);
}
