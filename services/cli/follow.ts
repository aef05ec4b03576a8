/** Watches a job by long polls, over restarts of the server, until it ends or the person has seen enough. */
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../../shared/errors.js';
import { ENDED_STATES, type JobView } from '../../shared/schemas/job.js';
import { type ApiClient, ServerUnreachable } from './api-client.js';

const WAIT_SECONDS = 20;
/** A server that restarts is back long before; an operator who stopped it is not kept for ever. */
const RECONNECT_MS = 120_000;
const RECONNECT_PAUSE_MS = 500;

export interface Watcher {
  /** The job has changed, or is seen for the first time. */
  changed(job: JobView): void;
  /** The server does not answer; we try again. Called once an outage. */
  lost(error: FerryError): void;
  regained(): void;
}

/**
 * @returns the ended job
 * @throws FerryError  what the server said; NODE_UNAVAILABLE when it stays away for two minutes
 */
export async function followJob(client: ApiClient, id: string, watcher: Watcher): Promise<JobView> {
  let etag: string | null = null;
  let lostAt: number | null = null;
  for (;;) {
    try {
      const news = await client.jobAfter(id, etag, WAIT_SECONDS);
      if (lostAt !== null) watcher.regained();
      lostAt = null;
      if (news === null) continue;
      etag = news.etag;
      watcher.changed(news.job);
      if (ENDED_STATES.includes(news.job.state)) return news.job;
    } catch (thrown) {
      // The first answer decides whether there is a server at all; only a lost one is waited for.
      if (etag === null || !isOutage(thrown)) throw thrown;
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
