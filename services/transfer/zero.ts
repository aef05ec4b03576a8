/** A zero job: ranges of a target, or all of it, read as zeroes afterwards. */
import type { JobResult, ZeroRequest } from '../../shared/schemas/job.js';
import type { TargetHandle } from '../../workers/storage/handle.js';
import { pack } from '../../workers/tasks/ranges.js';
import { flushNow, withFlushes } from './durability.js';
import { type JobRun, makeResult, stepsInFlight, targetRequest, withHandles } from './job.js';
import { sum, zeroSteps } from './layout.js';
import { runSteps } from './steps.js';
import { settledRanges, zeroPlan } from './zero-plan.js';

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
        ...targetRequest(request, config.storageRoots, run.attempt),
        neededBytes: 0,
        source: null,
      }),
    );
    const ranges = pack(settledRanges(request, target.size));
    const totals = { totalBytes: sum(ranges), dataBytes: 0, givenBytes: 0, zeroFirstBytes: 0, verify: false };
    progress.totals = totals;
    progress.enter('zeroing');
    const { control } = progress;
    await withFlushes(workers, target, progress, config.flushIntervalMs, () =>
      runSteps(zeroSteps(ranges), stepsInFlight(workers), control, (step) =>
        workers.run('zero', { target, ranges: step, allocation, counts: true, control: control.memory }),
      ),
    );
    progress.enter('flushing');
    await flushNow(workers, target, progress);
    const zeroMethods = control.zeroed().map((use) => use.method);
    return makeResult(progress, zeroPlan(request, { ...target, zeroMethods }, ranges), startedMs);
  });
}
