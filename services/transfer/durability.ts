/** Flushes while a job runs, so that what it has done becomes durable bit by bit and no last flush takes for ever. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Workers } from '../../workers/pool.js';
import type { TargetHandle } from '../../workers/storage/handle.js';
import type { JobProgress } from './progress.js';

/** One flush; afterwards everything that was done before it counts as durable. @throws FerryError FLUSH_FAILED */
export async function flushNow(workers: Workers, target: TargetHandle, progress: JobProgress): Promise<void> {
  const done = progress.doneBytes;
  await workers.run('flush', { target });
  progress.durableBytes = done;
}

/**
 * Runs `work` with a flush every `intervalMs` beside it. A flush that fails stops the work and is the error.
 */
export async function withFlushes(
  workers: Workers,
  target: TargetHandle,
  progress: JobProgress,
  intervalMs: number,
  work: () => Promise<void>,
): Promise<void> {
  const ended = new AbortController();
  let failure: { readonly error: unknown } | null = null;
  const flushing = (async () => {
    for (;;) {
      await sleep(intervalMs, undefined, { signal: ended.signal }).catch(() => {});
      if (ended.signal.aborted) return;
      try {
        await flushNow(workers, target, progress);
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
  if (first !== null) throw first.error;
}
