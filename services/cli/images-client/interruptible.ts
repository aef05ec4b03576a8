/** Work that a person may stop with Ctrl-C, and that cleans up then. A second signal ends the program at once. */
import { FerryError } from '../../../shared/errors.js';
import { EXIT } from '../exit-codes.js';

const CODES = { SIGINT: EXIT.INTERRUPTED, SIGTERM: 128 + 15, SIGHUP: 128 + 1 } as const;
const SIGNALS = Object.keys(CODES) as (keyof typeof CODES)[];

/** @returns what `work` returns, or the exit code of the signal that stopped it */
export async function interruptible(work: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const stop = new AbortController();
  let code: number | null = null;
  const listener = (name: NodeJS.Signals) => {
    code ??= CODES[name as keyof typeof CODES];
    stop.abort(new FerryError('CANCELED', 'interrupted'));
  };
  for (const name of SIGNALS) process.once(name, listener);
  try {
    return await work(stop.signal);
  } catch (thrown) {
    if (code === null) throw thrown;
    return code;
  } finally {
    for (const name of SIGNALS) process.off(name, listener);
  }
}
