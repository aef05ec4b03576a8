/**
 * Keeps what a job has done durable while it runs: flush the target, then record the settled ranges, every so often
 * and when the job is to stop. Nothing is recorded that was not done before the flush began.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../../shared/errors.js';
import type { Checkpoint } from '../../shared/queue/checkpoint.js';
import type { TargetHandle } from '../../workers/storage/handle.js';
import { Coverage } from './coverage.js';
import type { JobRun } from './job.js';

/** What does not change from one checkpoint of a job to the next. */
export type CheckpointBase = Pick<Checkpoint, 'source' | 'target' | 'layout' | 'plan'>;

export class Checkpoints {
  readonly zeroed: Coverage;
  readonly copied: Coverage;

  /** @param earlier  the checkpoint that the job goes on from; null: from nothing */
  constructor(
    private readonly run: JobRun,
    private readonly target: TargetHandle,
    private readonly base: CheckpointBase,
    earlier: Checkpoint | null,
  ) {
    this.zeroed = new Coverage(earlier?.zeroed);
    this.copied = new Coverage(earlier?.copied);
  }

  /**
   * Records where the job begins, before it writes: nothing is durable but what an earlier checkpoint says.
   * @throws FerryError QUEUE_UNAVAILABLE  it could not be recorded; nothing may be written then
   */
  async begin(): Promise<void> {
    await this.run.owner.save(this.#snapshot(), true);
  }

  /**
   * One flush; afterwards everything that was done before it counts as durable, and is recorded.
   * @throws FerryError FLUSH_FAILED  nothing more is recorded: what came after the last good flush is lost
   */
  async flush(): Promise<void> {
    const { workers, progress, owner } = this.run;
    const done = progress.doneBytes;
    const snapshot = this.#snapshot();
    await workers.run('flush', { target: this.target });
    progress.durableBytes = done;
    await owner.save(snapshot);
  }

  /** Runs `work` with a flush every so often beside it. A flush that fails stops the work and is the error. */
  async during(work: () => Promise<void>): Promise<void> {
    const { progress, config } = this.run;
    const ended = new AbortController();
    let failure: { readonly error: unknown } | null = null;
    const flushing = (async () => {
      for (;;) {
        await sleep(config.flushIntervalMs, undefined, { signal: ended.signal }).catch(() => {});
        if (ended.signal.aborted) return;
        try {
          await this.flush();
        } catch (error) {
          failure = { error };
          progress.control.stop();
          return;
        }
      }
    })();
    try {
      await work();
    } catch (error) {
      failure ??= { error };
    } finally {
      ended.abort();
      await flushing;
    }
    const first = failure as { readonly error: unknown } | null;
    if (first === null) return;
    await this.#leave(first.error);
    throw first.error;
  }

  /** A job that is stopped to go on later keeps all that it did, and knows the state in which it left its target. */
  async #leave(error: unknown): Promise<void> {
    const reason = this.run.stopping();
    if (!(error instanceof FerryError) || error.code !== 'CANCELED') return;
    if (reason !== 'pause' && reason !== 'shutdown') return;
    await this.flush();
    const target = await this.run.workers.run('fingerprint', { handle: this.target });
    await this.run.owner.save({ ...this.#snapshot(), target });
  }

  #snapshot(): Checkpoint {
    return {
      version: 1,
      ...this.base,
      target: { ...this.base.target, generation: null },
      zeroed: this.zeroed.toPacked(),
      copied: this.copied.toPacked(),
    };
  }
}
