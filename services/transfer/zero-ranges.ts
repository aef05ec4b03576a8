/** Zeroes ranges of a target step by step: the same for a zero job and for the holes of an image. */

import type { Coverage } from '../../shared/coverage.js';
import { MiB } from '../../shared/units.js';
import type { Allocation } from '../../shared/zero-methods.js';
import type { TargetHandle } from '../../workers/storage/handle.js';
import { beforeStep, inParts, type JobRun } from './job.js';
import { zeroSteps } from './layout.js';
import { runSteps } from './steps.js';

/** Many calls at once only wait for each other in the kernel: two, so that one is always under way. */
const IN_FLIGHT = 2;
/** Of zeroes that somebody has to write; the calls themselves are shorter. */
const WRITTEN_STEP_BYTES = 256 * MiB;

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
  const steps = written ? zeroSteps(work.ranges, () => throttle.stepBytes(WRITTEN_STEP_BYTES)) : zeroSteps(work.ranges);
  const zero = (part: Float64Array) => workers.run('zero', { ...work, ranges: part, control: control.memory });
  await runSteps(steps, IN_FLIGHT, control, async ({ ranges, span }) => {
    if (written) {
      await inParts(run, ranges, zero);
    } else {
      await beforeStep(run, 0);
      await zero(ranges);
    }
    settled.add(span);
  });
}
