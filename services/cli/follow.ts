/**
 * Watches a job or a batch by long polls, over restarts of the server, until it ends or the person has seen enough.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../../shared/errors.js';
import type { JobState } from '../../shared/schemas/job.js';
import { ENDED_STATES } from '../../shared/states.js';
import { type News, ServerUnreachable } from './api-transport.js';

const WAIT_SECONDS = 20;
/** A server that restarts is back long before; an operator who stopped it is not kept for ever. */
const RECONNECT_MS = 120_000;
const RECONNECT_PAUSE_MS = 500;

export interface Followed {
  readonly state: JobState;
}

/** One long poll. @returns null when nothing changed within `waitSeconds` */
export type Ask<View extends Followed> = (etag: string | null, waitSeconds: number) => Promise<News<View> | null>;

export interface Watcher<View extends Followed> {
  /** It has changed, or is seen for the first time. */
  changed(view: View): void;
  /** The server does not answer; we try again. Called once an outage. */
  lost(error: FerryError): void;
  regained(): void;
  /** Whether the server has answered before: one that does not then is waited for, else the first answer decides. */
  readonly answered?: boolean;
  /** How long to leave the server alone after an answer. */
  restMs?(view: View): number;
}

/**
 * @param signal  when it is aborted the watcher hears nothing more, and its reason is thrown after the poll under way
 * @returns the view of its end
 * @throws FerryError  what the server said; NODE_UNAVAILABLE when it stays away for two minutes
 */
export async function follow<View extends Followed>(
  ask: Ask<View>,
  watcher: Watcher<View>,
  signal: AbortSignal,
): Promise<View> {
  let etag: string | null = null;
  let lostAt: number | null = null;
  for (;;) {
    try {
      const news: News<View> | null = await ask(etag, WAIT_SECONDS);
      signal.throwIfAborted();
      if (lostAt !== null) watcher.regained();
      lostAt = null;
      if (news === null) continue;
      etag = news.etag;
      watcher.changed(news.view);
      if (ENDED_STATES.includes(news.view.state)) return news.view;
      await sleep(watcher.restMs?.(news.view) ?? 0);
    } catch (thrown) {
      signal.throwIfAborted();
      if ((etag === null && watcher.answered !== true) || !isOutage(thrown)) throw thrown;
      if (lostAt === null) {
        lostAt = Date.now();
        watcher.lost(thrown);
      }
      if (Date.now() - lostAt > RECONNECT_MS) throw thrown;
      await sleep(RECONNECT_PAUSE_MS);
    }
  }
}

function isOutage(thrown: unknown): thrown is FerryError {
  return thrown instanceof ServerUnreachable || (thrown instanceof FerryError && thrown.code === 'QUEUE_UNAVAILABLE');
}
