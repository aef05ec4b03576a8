/** `--follow`: shows a job until it ends. Ctrl-C stops the watching, not the job. */
import type { JobView } from '../../shared/schemas/job.js';
import type { ApiClient } from './api-client.js';
import type { Context, Screen } from './context.js';
import type { Display } from './display.js';
import { BarDisplay } from './display-bar.js';
import { JsonDisplay, LineDisplay } from './display-lines.js';
import { EXIT, exitCodeOfJob } from './exit-codes.js';
import { adviceFor } from './failure.js';
import { followJob } from './follow.js';

const SIGNAL_CODES = { SIGINT: EXIT.INTERRUPTED, SIGTERM: 128 + 15, SIGHUP: 128 + 1 } as const;
type WatchedSignal = keyof typeof SIGNAL_CODES;

/** @returns the exit code: of the job's end, or of the signal that ended the watching */
export async function followAndReport(context: Context, client: ApiClient, id: string, json: boolean): Promise<number> {
  const { screen } = context;
  const display = createDisplay(screen, json);
  const signal = nextSignal();
  try {
    const follow = followJob(client, id, {
      changed: (job) => display.changed(job),
      lost: (error) => screen.note(`ferry: ${error.message}; trying again`),
      regained: () => screen.note('ferry: the server is back'),
    });
    const outcome = await Promise.race([follow, signal.received]);
    display.close();
    if (typeof outcome === 'string') {
      // It may still fail after we stopped listening; nobody wants to know.
      follow.catch(() => {});
      screen.note(
        `ferry: the job goes on. Follow it with "ferry job ${id} --follow", stop it with "ferry cancel ${id}"`,
      );
      return SIGNAL_CODES[outcome];
    }
    display.ended(outcome);
    explainEnd(context, outcome);
    return exitCodeOfJob(outcome.state);
  } finally {
    display.close();
    signal.forget();
  }
}

function createDisplay(screen: Screen, json: boolean): Display {
  if (json) return new JsonDisplay(screen);
  return screen.terminal ? new BarDisplay(screen) : new LineDisplay(screen);
}

function explainEnd({ screen }: Context, job: JobView): void {
  if (job.state !== 'failed' || job.error === undefined) return;
  screen.note(`ferry: ${job.error.message} (${job.error.code})`);
  const advice = adviceFor(job.error.code);
  if (advice !== undefined) screen.note(`  ${advice}`);
}

function nextSignal(): { received: Promise<WatchedSignal>; forget(): void } {
  const names = Object.keys(SIGNAL_CODES) as WatchedSignal[];
  let listener: (name: NodeJS.Signals) => void = () => {};
  const received = new Promise<WatchedSignal>((resolve) => {
    listener = (name) => resolve(name as WatchedSignal);
  });
  for (const name of names) process.once(name, listener);
  return { received, forget: () => names.forEach((name) => void process.off(name, listener)) };
}
