/** `--follow`: shows a job or a batch until it ends. Ctrl-C stops the watching, not the work. */
import type { FerryError } from '../../shared/errors.js';
import type { JobView } from '../../shared/schemas/job.js';
import type { ApiClient } from './api-client.js';
import type { Context, Screen } from './context.js';
import { type Display, JsonDisplay } from './display.js';
import { BarDisplay } from './display-bar.js';
import { LineDisplay } from './display-lines.js';
import { EXIT, exitCodeOfJob } from './exit-codes.js';
import { adviceFor } from './failure.js';
import { type Ask, type Followed, follow } from './follow.js';

const SIGNAL_CODES = { SIGINT: EXIT.INTERRUPTED, SIGTERM: 128 + 15, SIGHUP: 128 + 1 } as const;
type WatchedSignal = keyof typeof SIGNAL_CODES;

/** What is followed, and how it is told. */
export interface Subject<View extends Followed> {
  readonly ask: Ask<View>;
  readonly display: Display<View>;
  /** Whether the server has answered before, as when it accepted what is followed. */
  readonly answered: boolean;
  /** What to tell a person who stops watching. */
  readonly goesOn: string;
  /** For stderr, at its end: why it failed, and what to do. */
  explainEnd(view: View): string[];
  restMs?(view: View): number;
  /** Hears of each change, beside the display. */
  heard?(view: View): void;
  /** What we do for it meanwhile: when that fails, the watching ends with its error. */
  readonly work?: Promise<void>;
}

/** @returns the exit code: of its end, or of the signal that ended the watching */
export async function followAndReport<View extends Followed>(
  { screen }: Context,
  subject: Subject<View>,
): Promise<number> {
  const { display } = subject;
  const note = (text: string) => {
    // Bars are drawn over what they drew before; a line in between must not be.
    display.close();
    screen.note(`ferry: ${text}`);
  };
  const signal = nextSignal();
  const enough = new AbortController();
  try {
    const watcher = {
      answered: subject.answered,
      changed: (view: View) => {
        subject.heard?.(view);
        display.changed(view);
      },
      lost: (error: FerryError) => note(`${error.message}; trying again`),
      regained: () => note('the server is back'),
      restMs: (view: View) => subject.restMs?.(view) ?? 0,
    };
    const following = follow(subject.ask, watcher, enough.signal);
    // It may still fail after we stopped listening; nobody wants to know.
    following.catch(() => {});
    const outcome = await Promise.race([following, signal.received, failureOf(subject.work)]);
    display.close();
    if (typeof outcome === 'string') {
      note(subject.goesOn);
      return SIGNAL_CODES[outcome];
    }
    display.ended(outcome);
    for (const line of subject.explainEnd(outcome)) screen.note(line);
    return exitCodeOfJob(outcome.state);
  } finally {
    enough.abort();
    display.close();
    signal.forget();
  }
}

export interface FollowOptions extends Pick<Subject<JobView>, 'heard' | 'work'> {
  readonly json: boolean;
  readonly answered: boolean;
  /** Default: how to find the job again. */
  readonly goesOn?: string;
}

export async function followJob(
  context: Context,
  client: ApiClient,
  id: string,
  { json, answered, goesOn, ...more }: FollowOptions,
): Promise<number> {
  return await followAndReport(context, {
    ...more,
    answered,
    ask: (etag, waitSeconds) => client.jobAfter(id, etag, waitSeconds),
    display: jobDisplay(context.screen, json),
    goesOn: goesOn ?? `the job goes on. Follow it with "ferry job ${id} --follow", stop it with "ferry cancel ${id}"`,
    explainEnd: explainJobEnd,
  });
}

async function failureOf(work: Promise<void> | undefined): Promise<never> {
  await work;
  return await new Promise<never>(() => {});
}

function jobDisplay(screen: Screen, json: boolean): Display<JobView> {
  if (json) return new JsonDisplay(screen);
  return screen.terminal ? new BarDisplay(screen) : new LineDisplay(screen);
}

function explainJobEnd({ state, error }: JobView): string[] {
  if (state !== 'failed' || error === undefined) return [];
  const advice = adviceFor(error.code);
  return [`ferry: ${error.message} (${error.code})`, ...(advice === undefined ? [] : [`  ${advice}`])];
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
