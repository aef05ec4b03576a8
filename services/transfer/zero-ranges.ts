/** Zeroes ranges of a target step by step: the same for a zero job and for the holes of an image. */

import type { Coverage } from '../../shared/coverage.js';
import type { Allocation } from '../../shared/zero-methods.js';
import type { TargetHandle } from '../../workers/storage/handle.js';
import { beforeStep, inParts, type JobRun, stepsInFlight } from './job.js';
import { zeroSteps } from './layout.js';
import { runSteps } from './steps.js';

export interface ZeroWork {
  readonly target: TargetHandle;
  readonly ranges: Float64Array;
  readonly allocation: Allocation;
  /** Whether what is zeroed counts as done: not when data still goes over it. */
  readonly counts: boolean;
}

/** @param settled  what is done is added to it */
export async function zeroRanges(run: JobRun, work: ZeroWork, settled: Coverage): Promise<void> {
  const { workers, progress, throttle } = run;
  const { control } = progress;
  // Zeroes that have to be written move like data; those that the storage makes by itself do not.
  const written = work.target.zeroWrites;
  const steps = written ? zeroSteps(work.ranges, () => throttle.stepBytes) : zeroSteps(work.ranges);
  const zero = (part: Float64Array) => workers.run('zero', { ...work, ranges: part, control: control.memory });
  // Calls that write nothing only wait for each other in the file system: two, so that one is always under way.
  const limit = written ? stepsInFlight(workers) : 2;
  await runSteps(steps, limit, control, async ({ ranges, span }) => {
    if (written) {
      await inParts(run, ranges, zero);
    } else {
      await beforeStep(run, 0);
      await zero(ranges);
    }
    settled.add(span);
  });
}
