/**
 * One import, as data flows (design §3): open, map, plan, zero, copy, flush, verify.
 * Coordinates only; every step is a task on a thread, several in flight.
 */
import { asFerryError } from '../../shared/errors.js';
import type { JobResult, UploadRequest } from '../../shared/schemas/job.js';
import type { SourceHandle, TargetHandle } from '../../workers/storage/handle.js';
import { PROBE_BYTES, type ZeroCost } from '../../workers/storage/zero-cost.js';
import { zeroMethods } from '../../workers/storage/zero-ladder.js';
import { flushNow, withFlushes } from './durability.js';
import { type JobRun, makeResult, roundMs, roundPhases, stepsInFlight, targetRequest, withHandles } from './job.js';
import { copySteps, longest, sum, zeroSteps } from './layout.js';
import { layOut, makePlan, type TargetFacts, type UploadLayout } from './plan.js';
import { runSteps } from './steps.js';
import { needsZeroing } from './strategy.js';
import { verifyCopy } from './verify.js';

/** @throws FerryError what any of its steps throws; nothing is written before opening and mapping went well */
export async function runUpload(run: JobRun, request: UploadRequest): Promise<JobResult> {
  const startedMs = performance.now();
  const { workers, progress, config } = run;
  const control = progress.control.memory;
  return await withHandles(workers, async (keep) => {
    const source = await keep(workers.run('openSource', { path: request.source.path, roots: config.storageRoots }));
    const target = await keep(
      workers.run('openTarget', {
        ...targetRequest(request, config.storageRoots, run.attempt),
        neededBytes: source.size,
        source: source.identity,
      }),
    );
    progress.enter('mapping');
    const extents = await workers.run('extents', { handle: source, control });
    const layout = layOut(request, source.size, target, extents);
    const upload = new Upload(run, request, source, target, layout);
    const result = await upload.run(startedMs);
    if (!request.options.verify) return result;
    progress.enter('verifying');
    const checksum = await verifyCopy(run, source, target, layout, extents).catch(async (thrown: unknown) => {
      // When the source is what changed, that is the reason, not a bad copy.
      if (asFerryError(thrown).code === 'VERIFY_FAILED') await workers.run('checkSource', { source });
      throw thrown;
    });
    await workers.run('checkSource', { source });
    progress.end();
    return { ...result, phases: roundPhases(progress), durationMs: roundMs(performance.now() - startedMs), checksum };
  });
}

class Upload {
  constructor(
    private readonly job: JobRun,
    private readonly request: UploadRequest,
    private readonly source: SourceHandle,
    private readonly target: TargetHandle,
    private readonly layout: UploadLayout,
  ) {}

  async run(startedMs: number): Promise<JobResult> {
    const { workers, progress, config } = this.job;
    const cost = await this.#measure();
    const plan = makePlan(this.request, this.#facts(), this.layout, cost);
    this.job.log.info({ plan }, 'planned');
    const dataBytes = sum(this.layout.data);
    const { totalBytes } = this.layout;
    progress.totals = {
      totalBytes,
      dataBytes,
      givenBytes: plan.strategy === 'no-zero' ? totalBytes - dataBytes : 0,
      zeroFirstBytes: plan.strategy === 'zero-first' ? totalBytes : 0,
      verify: this.request.options.verify,
    };
    await withFlushes(workers, this.target, progress, config.flushIntervalMs, async () => {
      if (plan.strategy === 'zero-first') await this.#zero(Float64Array.of(0, totalBytes), false);
      if (plan.strategy === 'zero-holes') await this.#zero(this.layout.holes, true);
      await this.#copy(plan.strategy === 'zero-first' || (plan.strategy === 'no-zero' && !this.#wantsLadder()));
    });
    progress.enter('flushing');
    await flushNow(workers, this.target, progress);
    await workers.run('checkSource', { source: this.source });
    // Asked again: by now it is known which methods the target refused.
    return makeResult(progress, { ...plan, zeroMethods: this.#facts().zeroMethods.slice() }, startedMs);
  }

  async #measure(): Promise<ZeroCost | null> {
    const { target, layout, request } = this;
    const { allocation } = request.options;
    if (!needsZeroing({ ...target, allocation, holes: layout.holes.length / 2 })) return null;
    this.job.progress.enter('zeroing');
    // Tried where data goes: zero-first zeroes that as well, and it may be dear there where old data lies. All of
    // the target is zeroed or overwritten by this job, so trying loses nothing.
    const range = longest(layout.data, PROBE_BYTES) ?? { start: 0, length: layout.totalBytes };
    return await this.job.workers.run('zeroCost', { target, range, allocation });
  }

  #facts(): TargetFacts {
    return { ...this.target, zeroMethods: zeroMethods(this.target, this.request.options.allocation) };
  }

  /** Whether zeroes met in the data need a call of their own when nothing was zeroed before. */
  #wantsLadder(): boolean {
    return needsZeroing({ ...this.target, allocation: this.request.options.allocation, holes: 1 });
  }

  async #zero(ranges: Float64Array, counts: boolean): Promise<void> {
    const { workers, progress } = this.job;
    progress.enter('zeroing');
    const { target } = this;
    const { allocation } = this.request.options;
    const control = progress.control.memory;
    await runSteps(zeroSteps(ranges), stepsInFlight(workers), progress.control, (step) =>
      workers.run('zero', { target, ranges: step, allocation, counts, control }),
    );
  }

  /** @param targetZeroed  where the copy meets zeroes, the target has them already */
  async #copy(targetZeroed: boolean): Promise<void> {
    const { workers, progress } = this.job;
    progress.enter('copying');
    const { source, target } = this;
    const { allocation, detectZeroes } = this.request.options;
    const control = progress.control.memory;
    await runSteps(copySteps(this.layout.data), stepsInFlight(workers), progress.control, async (ranges) => {
      const buffer = await workers.buffers.acquire();
      try {
        await workers.run('copy', { source, target, ranges, detectZeroes, targetZeroed, allocation, buffer, control });
      } finally {
        workers.buffers.release(buffer);
      }
    });
  }
}
