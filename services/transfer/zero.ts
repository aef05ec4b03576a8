/** A zero job: ranges of a target, or all of it, read as zeroes afterwards. */

import { pack } from '../../shared/ranges.js';
import type { JobResult, ZeroRequest } from '../../shared/schemas/job.js';
import type { TargetHandle } from '../../workers/storage/handle.js';
import { Checkpoints } from './checkpoints.js';
import { type JobRun, limitsOf, makeResult, targetRequest, withHandles } from './job.js';
import { sum } from './layout.js';
import { digest, earlierWork } from './resume.js';
import { settledRanges, zeroPlan } from './zero-plan.js';
import { zeroRanges } from './zero-ranges.js';

/** @throws FerryError what opening, zeroing or flushing throws; RANGE_OUTSIDE_TARGET before anything is changed */
export async function runZero(run: JobRun, request: ZeroRequest): Promise<JobResult> {
  const { workers, progress, config } = run;
  const startedMs = performance.now();
  const { allocation } = request.options;
  // Opening makes and resizes a file, so a size that is asked for is looked at before that.
  if (request.target.type === 'file' && request.target.size !== undefined) settledRanges(request, request.target.size);
  return await withHandles(workers, async (keep) => {
    const target: TargetHandle = await keep(
      workers.run('openTarget', {
        ...targetRequest(request, limitsOf(config), run.attempt),
        neededBytes: 0,
        source: null,
        control: progress.control.memory,
      }),
    );
    const print = await workers.run('fingerprint', { handle: target });
    const untouched = await run.owner.hold(print.name);
    const ranges = pack(settledRanges(request, target.size));
    const found = { source: null, target: print, layout: digest(ranges, target.size, allocation) };
    const earlier = earlierWork(run, { ...found, targetBytes: target.identity.size, untouched });
    const { control } = progress;
    const plan = zeroPlan(request, { ...target, zeroMethods: [] }, ranges);
    const { strategy, proof, reason } = plan;
    const checkpoints = new Checkpoints(run, target, { ...found, plan: { strategy, proof, reason } }, earlier);
    const left = checkpoints.zeroed.rest(ranges);
    progress.totals = { totalBytes: sum(ranges), dataBytes: 0, givenBytes: 0, zeroFirstBytes: 0, verify: false };
    if (earlier !== null) progress.resume(sum(ranges) - sum(left), 0);
    progress.enter('zeroing');
    await checkpoints.begin();
    await checkpoints.during(() =>
      zeroRanges(run, { target, ranges: left, allocation, counts: true }, checkpoints.zeroed),
    );
    progress.enter('flushing');
    await checkpoints.flush();
    const zeroMethods = control.zeroed().map((use) => use.method);
    return makeResult(progress, { ...plan, zeroMethods }, startedMs);
  });
}
