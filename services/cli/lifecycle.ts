/**
 * The life of a server program: start parts in order, run until a signal, close them in reverse.
 * Nothing of it ends the process: it answers with an exit code.
 */
import type { Log } from '../../shared/log.js';
import { EXIT } from './exit-codes.js';

/** Longer than closing takes when all goes well: running system calls end first, then Redis hears of it. */
const CLOSE_PATIENCE_MS = 30_000;

type Close = () => Promise<void>;

/** What has been started, to be closed last first. */
export class Parts {
  private readonly closers: { name: string; close: Close }[] = [];

  constructor(private readonly log: Log) {}

  /** `close` is called once, whatever happens to the other parts. */
  add(name: string, close: Close): void {
    this.closers.push({ name, close });
  }

  /** @returns false when a part could not be closed, or all together took too long */
  async close(): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const tooLong = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => {
        this.log.error({ afterMs: CLOSE_PATIENCE_MS }, 'stopping takes too long; what is left is abandoned');
        resolve(false);
      }, CLOSE_PATIENCE_MS);
    });
    const closed = await Promise.race([this.closeAll(), tooLong]);
    clearTimeout(timer);
    return closed;
  }

  private async closeAll(): Promise<boolean> {
    let fine = true;
    for (let part = this.closers.pop(); part !== undefined; part = this.closers.pop()) {
      try {
        await part.close();
      } catch (cause) {
        fine = false;
        this.log.error({ err: cause, part: part.name }, 'a part could not be closed');
      }
    }
    return fine;
  }
}

/**
 * Starts with `start`, then runs until SIGTERM, SIGINT or SIGHUP, which also give up a start that is under way.
 * `secondSignal` is called when another signal comes while we stop: somebody is out of patience.
 * @returns the exit code
 * @throws what `start` threw, after everything that it had started is closed again
 */
export async function runUntilSignal(
  log: Log,
  start: (parts: Parts, signal: AbortSignal) => Promise<void>,
  secondSignal: () => void,
): Promise<number> {
  const parts = new Parts(log);
  const stopping = new AbortController();
  const onSignal = (name: string) => {
    if (stopping.signal.aborted) return secondSignal();
    log.info({ signal: name }, 'stopping');
    stopping.abort();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  // A terminal that is closed: jobs go back to the queue as for the others.
  process.on('SIGHUP', onSignal);
  try {
    const stopped = new Promise<void>((resolve) => stopping.signal.addEventListener('abort', () => resolve()));
    await start(parts, stopping.signal);
    await stopped;
  } catch (cause) {
    await parts.close();
    if (stopping.signal.aborted) return EXIT.DONE;
    throw cause;
  }
  return (await parts.close()) ? EXIT.DONE : EXIT.FAILED;
}
