/** Runs steps on the pool, several at once, and never leaves one behind. */
import type { ControlBlock } from '../../workers/control.js';

/**
 * Starts steps in order, at most `limit` at a time. The first error stops the others through the control
 * block; it is thrown when every started step has ended, so that descriptors may be closed then.
 */
export async function runSteps<S>(
  steps: Iterable<S>,
  limit: number,
  control: ControlBlock,
  run: (step: S, index: number) => Promise<void>,
): Promise<void> {
  const source = steps[Symbol.iterator]();
  let index = 0;
  let failure: { readonly error: unknown } | null = null;
  const lane = async (): Promise<void> => {
    while (failure === null) {
      const next = source.next();
      if (next.done) return;
      index += 1;
      try {
        await run(next.value, index - 1);
      } catch (error) {
        // Those that end because of this stop throw CANCELED; the first error is the reason.
        failure ??= { error };
        control.stop();
      }
    }
  };
  await Promise.all(Array.from({ length: limit }, lane));
  const ended = failure as { readonly error: unknown } | null;
  if (ended !== null) throw ended.error;
}
