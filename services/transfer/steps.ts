/** Runs steps on the pool, several at once, and never leaves one behind. */
import type { ControlBlock } from '../../workers/control.js';

/**
 * Starts steps in order, at most `limit` at a time; a function is asked again before each. The first error stops the others through the control
 * block; it is thrown when every started step has ended, so that descriptors may be closed then.
 */
export async function runSteps<S>(
  steps: Iterable<S>,
  limit: number | (() => number),
  control: ControlBlock,
  run: (step: S, index: number) => Promise<void>,
): Promise<void> {
  const source = steps[Symbol.iterator]();
  let index = 0;
  let failure: { readonly error: unknown } | null = null;
  const most = typeof limit === 'number' ? () => limit : limit;
  const running = new Set<Promise<void>>();
  const start = (step: S) => {
    const ended = run(step, index)
      .catch((error: unknown) => {
        // Those that end because of this stop throw CANCELED; the first error is the reason.
        failure ??= { error };
        control.stop();
      })
      .finally(() => running.delete(ended));
    index += 1;
    running.add(ended);
  };
  for (let more = true; more || running.size > 0; ) {
    while (more && failure === null && running.size < most()) {
      const next = source.next();
      if (next.done) more = false;
      else start(next.value);
    }
    if (failure !== null) more = false;
    if (running.size > 0) await Promise.race(running);
  }
  const ended = failure as { readonly error: unknown } | null;
  if (ended !== null) throw ended.error;
}
