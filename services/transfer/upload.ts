/**
 * One import, as data flows (design §3): open, map, plan, zero, copy, flush, verify.
 * Coordinates only; every step is a task on a thread, several in flight.
 */
import { asFerryError } from '../../shared/errors.js';
import type { Checkpoint } from '../../shared/queue/checkpoint.js';
import type { JobResult, Plan, StoredUpload } from '../../shared/schemas/job.js';
import type { SourceHandle, TargetHandle } from '../../workers/storage/handle.js';
import { PROBE_BYTES, type ZeroCost } from '../../workers/storage/zero-cost.js';
import { zeroMethods } from '../../workers/storage/zero-ladder.js';
import { Checkpoints } from './checkpoints.js';
import {
  beforeStep,
  inParts,
  type JobRun,
  limitsOf,
  makeResult,
  roundMs,
  roundPhases,
  sourceRequest,
  stepsInFlight,
  targetRequest,
  withHandles,
} from './job.js';
import { CLONE_STEP_BYTES, copySteps, longest, sum } from './layout.js';
import { copiedRanges, layOut, makePlan, type TargetFacts, type UploadLayout, zeroedRanges } from './plan.js';
import { digest, earlierWork, type Found } from './resume.js';
import { runSteps } from './steps.js';
import { CLONE, needsZeroing } from './strategy.js';
import { verifyCopy } from './verify.js';
import { zeroRanges } from './zero-ranges.js';

/** @throws FerryError what any of its steps throws; nothing is written before opening and mapping went well */
export async function runUpload(run: JobRun, request: StoredUpload): Promise<JobResult> {
  const startedMs = performance.now();
  const { workers, progress, config } = run;
  const control = progress.control.memory;
  const limits = limitsOf(config);
  return await withHandles(workers, async (keep) => {
    const source = await keep(workers.run('openSource', sourceRequest(request.source, limits)));
    const target = await keep(
      workers.run('openTarget', {
        ...targetRequest(request, limits, run.attempt),
        neededBytes: source.size,
        source: source.identity,
        control,
      }),
    );
    const prints = {
      source: await workers.run('fingerprint', { handle: source }),
      target: await workers.run('fingerprint', { handle: target }),
    };
    const untouched = await run.owner.hold(prints.target.name);
    progress.enter('mapping');
    const extents = await workers.run('extents', { handle: source, control });
    const layout = layOut(request, source.size, target, extents);
    const { allocation, detectZeroes } = request.options;
    const geometry = digest(layout.data, layout.imageBytes, layout.totalBytes, allocation, `${detectZeroes}`);
    const found = { ...prints, targetBytes: target.identity.size, layout: geometry, untouched };
    const upload = new Upload(run, request, source, target, layout, found, earlierWork(run, found));
    const result = await upload.run(startedMs);
    if (!request.options.verify) return result;
    progress.enter('verifying');
    const checksum = await verifyCopy(run, source, target, layout, extents).catch(async (thrown: unknown) => {
      if (asFerryError(thrown).code !== 'VERIFY_FAILED') throw thrown;
      // What a flush called durable is not what was written: a retry must copy all of it again.
      await run.owner.begin(null);
      // When the source is what changed, that is the reason, not a bad copy.
      await workers.run('checkSource', { source });
      throw thrown;
    });
    await workers.run('checkSource', { source });
    progress.end();
    return { ...result, phases: roundPhases(progress), durationMs: roundMs(performance.now() - startedMs), checksum };
  });
}

/** Packed ranges that are to be zeroed, and to be copied or cloned. */
interface Work {
  readonly zeroes: Float64Array;
  readonly data: Float64Array;
}

class Upload {
  readonly #target: TargetHandle;

  constructor(
    private readonly job: JobRun,
    private readonly request: StoredUpload,
    private readonly source: SourceHandle,
    target: TargetHandle,
    private readonly layout: UploadLayout,
    private readonly found: Found,
    private readonly earlier: Checkpoint | null,
  ) {
    const { proof } = earlier?.plan ?? {};
    // What was proven of the target still holds where nothing has been written but this source's data.
    const readsZero = target.readsZero || proof === 'created' || proof === 'declared';
    this.#target = { ...target, readsZero };
  }

  async run(startedMs: number): Promise<JobResult> {
    const { workers, progress, owner } = this.job;
    // Measuring zeroes a part of the target. Were this attempt to die of it, the next one must not go on from a
    // checkpoint that this one refused: the next node may not see the reason.
    if (this.earlier === null && this.job.checkpoint !== null) await owner.begin(null);
    const clones = this.earlier === null && (await this.#canClone());
    const cost = this.earlier === null && !clones ? await this.#measure() : null;
    const known = clones ? CLONE : this.earlier?.plan;
    const plan = makePlan(this.request, this.#facts(), this.layout, cost, known);
    this.job.log.info({ plan, resumed: this.earlier !== null }, 'planned');
    const { strategy, proof, reason } = plan;
    const { source, target, layout } = this.found;
    const base = { source, target, layout, plan: { strategy, proof, reason } };
    const checkpoints = new Checkpoints(this.job, this.#target, base, this.earlier);
    const all = {
      zeroes: zeroedRanges(plan, this.layout, this.#target.readsZero),
      data: copiedRanges(plan, this.layout),
    };
    const left = { zeroes: checkpoints.zeroed.rest(all.zeroes), data: checkpoints.copied.rest(all.data) };
    this.#count(plan, all, left);
    // From here on the next attempt knows what was proven of the target, also when it finds it half written.
    await checkpoints.begin();
    await checkpoints.during(async () => {
      if (left.zeroes.length > 0) await this.#zero(left.zeroes, strategy !== 'zero-first', checkpoints);
      if (strategy === 'clone') await this.#clone(left.data, checkpoints);
      else {
        const targetZeroed = strategy === 'zero-first' || (strategy === 'no-zero' && !this.#wantsLadder());
        await this.#copy(left.data, targetZeroed, checkpoints);
      }
    });
    progress.enter('flushing');
    await checkpoints.flush();
    await workers.run('checkSource', { source: this.source });
    // Asked again: by now it is known which methods the target refused.
    return makeResult(progress, { ...plan, zeroMethods: this.#facts().zeroMethods.slice() }, startedMs);
  }

  /** Sets the totals, and counts what an earlier attempt did as done. */
  #count({ strategy }: Plan, all: Work, left: Work): void {
    const { progress } = this.job;
    const { totalBytes } = this.layout;
    const zeroFirst = strategy === 'zero-first';
    progress.totals = {
      totalBytes,
      dataBytes: sum(this.layout.data),
      givenBytes: zeroFirst ? 0 : totalBytes - sum(all.zeroes) - sum(all.data),
      zeroFirstBytes: zeroFirst ? totalBytes : 0,
      verify: this.request.options.verify,
    };
    if (this.earlier === null) return;
    const copied = sum(all.data) - sum(left.data);
    const zeroed = sum(all.zeroes) - sum(left.zeroes);
    if (zeroFirst) progress.resume(copied, zeroed);
    else progress.resume(copied + zeroed, 0);
  }

  /** Shared blocks are no space of the target's own, so only a target that may be sparse gets them. */
  async #canClone(): Promise<boolean> {
    const { source, request, layout } = this;
    const target = this.#target;
    if (source.kind !== 'file' || target.kind !== 'file' || request.options.allocation !== 'sparse') return false;
    const { workers, progress } = this.job;
    const control = progress.control.memory;
    return await workers.run('canClone', { source, target, imageBytes: layout.imageBytes, control });
  }

  async #measure(): Promise<ZeroCost | null> {
    const { layout, request } = this;
    const target = this.#target;
    const { allocation } = request.options;
    if (!needsZeroing({ ...target, allocation, holes: layout.holes.length / 2 })) return null;
    const { control } = this.job.progress;
    this.job.progress.enter('zeroing');
    // Tried where data goes: zero-first zeroes that as well, and it may be dear there where old data lies. All of
    // the target is zeroed or overwritten by this job, so trying loses nothing.
    const range = longest(layout.data, PROBE_BYTES) ?? { start: 0, length: layout.totalBytes };
    return await this.job.workers.run('zeroCost', { target, range, allocation, control: control.memory });
  }

  #facts(): TargetFacts {
    return { ...this.#target, zeroMethods: zeroMethods(this.#target, this.request.options.allocation) };
  }

  /** Whether zeroes met in the data need a call of their own when nothing was zeroed before. */
  #wantsLadder(): boolean {
    return needsZeroing({ ...this.#target, allocation: this.request.options.allocation, holes: 1 });
  }

  async #zero(ranges: Float64Array, counts: boolean, { zeroed }: Checkpoints): Promise<void> {
    this.job.progress.enter('zeroing');
    const target = this.#target;
    const { allocation } = this.request.options;
    await zeroRanges(this.job, { target, ranges, allocation, counts }, zeroed);
  }

  /** What the file system refuses to share after all is copied. */
  async #clone(image: Float64Array, { copied }: Checkpoints): Promise<void> {
    const { workers, progress } = this.job;
    progress.enter('copying');
    const { source } = this;
    const target = this.#target;
    const control = progress.control.memory;
    const how = { clone: true, detectZeroes: true, targetZeroed: false, allocation: 'sparse' } as const;
    const steps = copySteps(image, () => CLONE_STEP_BYTES);
    await runSteps(steps, stepsInFlight(workers), progress.control, async ({ ranges, span }) => {
      await beforeStep(this.job, 0);
      const buffer = await workers.buffers.acquire();
      try {
        await workers.run('copy', { source, target, ranges, buffer, control, ...how });
      } finally {
        workers.buffers.release(buffer);
      }
      copied.add(span);
    });
  }

  /** @param targetZeroed  where the copy meets zeroes, the target has them already */
  async #copy(data: Float64Array, targetZeroed: boolean, { copied }: Checkpoints): Promise<void> {
    const { workers, progress, throttle } = this.job;
    progress.enter('copying');
    const { source } = this;
    const target = this.#target;
    const { allocation, detectZeroes } = this.request.options;
    const control = progress.control.memory;
    const steps = copySteps(data, () => throttle.stepBytes());
    await runSteps(steps, stepsInFlight(workers), progress.control, async ({ ranges, span }) => {
      await inParts(this.job, ranges, async (part) => {
        const buffer = await workers.buffers.acquire();
        const how = { clone: false, detectZeroes, targetZeroed, allocation };
        const step = { source, target, ranges: part, buffer, control, ...how };
        try {
          await workers.run('copy', step);
        } finally {
          workers.buffers.release(buffer);
        }
      });
      copied.add(span);
    });
  }
}
