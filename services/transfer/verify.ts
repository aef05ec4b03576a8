/** Reads a finished copy back, compares it with its source, and gives the image's checksum. */

import { overlap, slice } from '../../shared/ranges.js';
import type { Checksum } from '../../shared/schemas/job.js';
import { MiB, type Range } from '../../shared/units.js';
import type { SourceHandle, TargetHandle } from '../../workers/storage/handle.js';
import { CHECKSUM_ALGORITHM } from '../../workers/tasks/checksum.js';
import { ChecksumFold } from './checksum-fold.js';
import { beforeStep, type JobRun, stepsInFlight } from './job.js';
import type { UploadLayout } from './plan.js';
import { runSteps } from './steps.js';

const BLOCK = 4 * MiB;
const PART = 16 * BLOCK;

/** @throws FerryError VERIFY_FAILED (with the first byte that differs), SOURCE_CHANGED, STORAGE_* */
export async function verifyCopy(
  run: JobRun,
  source: SourceHandle,
  target: TargetHandle,
  layout: UploadLayout,
  sourceData: Float64Array,
): Promise<Checksum> {
  const { workers, progress } = run;
  const control = progress.control.memory;
  // What the file system calls a hole reads as zeroes: nothing to read there. A device has no holes.
  const targetData =
    target.kind === 'file'
      ? await workers.run('extents', { handle: target, control })
      : Float64Array.of(0, layout.totalBytes);
  const fold = new ChecksumFold();
  await runSteps(parts(layout.totalBytes), stepsInFlight(workers), progress.control, async (part, index) => {
    const stop = part.start + part.length;
    // As in copying a byte counts once, read on both sides or on one.
    await beforeStep(run, Math.max(overlap(sourceData, part.start, stop), overlap(targetData, part.start, stop)));
    const buffer = await workers.buffers.acquire();
    try {
      const digests = await workers.run('checksum', {
        source,
        target,
        ...part,
        imageSize: layout.imageBytes,
        blockSize: BLOCK,
        sourceData: slice(sourceData, part.start, stop),
        targetData: slice(targetData, part.start, stop),
        buffer,
        control,
      });
      fold.add(index, digests);
    } finally {
      workers.buffers.release(buffer);
    }
  });
  return { algorithm: CHECKSUM_ALGORITHM, blockSize: BLOCK, checksum: fold.digest() };
}

function* parts(size: number): Generator<Range> {
  for (let start = 0; start < size; start += PART) yield { start, length: Math.min(PART, size - start) };
}
