/**
 * Keeps what a job has done durable while it runs: flush the target, then record the settled ranges, every so often
 * and when the job is to stop. Nothing is recorded that was not done before the flush began.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Coverage } from '../../shared/coverage.js';
import { FerryError } from '../../shared/errors.js';
import type { Checkpoint } from '../../shared/queue/checkpoint.js';
import type { TargetHandle } from '../../workers/storage/handle.js';
import type { JobRun } from './job.js';

/** What does not change from one checkpoint of a job to the next. */
export type CheckpointBase = Pick<Checkpoint, 'source' | 'target' | 'layout' | 'plan'>;

export class Checkpoints {
  readonly zeroed: Coverage;
  readonly copied: Coverage;
  /** Nothing more comes from the client. */
  complete = false;
  /** What was recorded last; null: nothing yet. */
  #recorded: Checkpoint | null = null;

  /**
   * @param earlier  the checkpoint that the job goes on from; null: from nothing
   * @param collect  adds what others than this job's own steps have settled, just before each flush
   */
  constructor(
    private readonly run: JobRun,
    private readonly target: TargetHandle,
    private readonly base: CheckpointBase,
    earlier: Checkpoint | null,
    private readonly collect: (copied: Coverage) => void = () => {},
  ) {
    this.zeroed = new Coverage(earlier?.zeroed);
    this.copied = new Coverage(earlier?.copied);
  }

  /**
   * Records where the job begins, before it writes: nothing is durable but what an earlier checkpoint says.
   * @throws FerryError QUEUE_UNAVAILABLE  it could not be recorded; nothing may be written then
   */
  async begin(): Promise<void> {
    const snapshot = this.#snapshot();
    await this.run.owner.begin(snapshot);
    this.#recorded = snapshot;
  }

  /**
   * One flush; afterwards everything that was done before it counts as durable, and is recorded.
   * @throws FerryError FLUSH_FAILED  nothing more is recorded: what came after the last good flush is lost
   */
  async flush(): Promise<void> {
    const { workers, progress } = this.run;
    this.collect(this.copied);
    const done = progress.doneBytes;
    const snapshot = this.#snapshot();
    await workers.run('flush', { target: this.target });
    progress.durableBytes = done;
    await this.#record(snapshot);
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

  /**
   * A job that is stopped to go on later keeps all that it did. Whatever else ends it keeps what was durable before.
   * Either way it knows the state in which it left its target: until the job is tried again others may write that.
   */
  async #leave(error: unknown): Promise<void> {
    const reason = this.run.stopping();
    const code = error instanceof FerryError ? error.code : 'INTERNAL';
    if (reason === 'lost' || code === 'LEASE_LOST') return;
    // To ask for the state of a device is to flush it once more, and that could come out well.
    if (code === 'FLUSH_FAILED') return;
    if (code === 'CANCELED' && (reason === 'pause' || reason === 'shutdown')) {
      await this.flush();
      await this.#recordTarget();
    } else {
      await this.#recordTarget().catch((err) => this.run.log.debug({ err }, 'the state of the target is not known'));
    }
  }

  async #recordTarget(): Promise<void> {
    if (this.#recorded === null) return;
    const target = await this.run.workers.run('fingerprint', { handle: this.target });
    await this.#record({ ...this.#recorded, target });
  }

  async #record(checkpoint: Checkpoint): Promise<void> {
    const { zeroed, copied } = this.#recorded ?? { zeroed: [], copied: [] };
    const progress = `${checkpoint.zeroed}|${checkpoint.copied}` !== `${zeroed}|${copied}`;
    this.#recorded = checkpoint;
    await this.run.owner.save(checkpoint, progress);
  }

  #snapshot(): Checkpoint {
    return {
      version: 1,
      ...this.base,
      target: { ...this.base.target, generation: null },
      zeroed: this.zeroed.toPacked(),
      copied: this.copied.toPacked(),
      ...(this.complete ? { complete: true } : {}),
    };
  }
}
