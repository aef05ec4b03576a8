/**
 * The two ends of a job with a client: waits until the job can be served, serves it, and when the offer is gone (the
 * node died, the job was paused) waits for the next one and goes on with what is not durable.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../../../shared/errors.js';
import { ENDED_STATES, type JobView } from '../../../shared/schemas/job.js';
import type { ApiClient } from '../api-client.js';

/** Short: somebody may want to stop meanwhile. */
const WAIT_SECONDS = 2;
/** An offer that refuses may be on its way to be replaced. */
const PAUSE_MS = 500;

type Offered = NonNullable<JobView['upload'] | JobView['download']>;

/**
 * @param serve  speaks to the offer until all is done
 * @throws FerryError what `serve` throws, unless the job goes on elsewhere
 * @returns false when the job has ended meanwhile
 */
export async function serveJob(
  client: ApiClient,
  id: string,
  signal: AbortSignal,
  serve: (offer: Offered & { readonly durable?: readonly (readonly [number, number])[] }) => Promise<void>,
): Promise<boolean> {
  let refusedUrl: string | null = null;
  for (;;) {
    const offer = await nextOffer(client, id, refusedUrl, signal);
    if (offer === null) return false;
    try {
      await serve(offer);
      return true;
    } catch (thrown) {
      if (!isOver(thrown)) throw thrown;
      refusedUrl = offer.url;
      if (!(await mayGoOn(client, id))) throw thrown;
    }
  }
}

/** Waits for an offer other than `not`. @returns null: the job has ended */
async function nextOffer(client: ApiClient, id: string, not: string | null, signal: AbortSignal) {
  let etag: string | null = null;
  for (;;) {
    signal.throwIfAborted();
    const news = await client.jobAfter(id, etag, WAIT_SECONDS);
    if (news === null) continue;
    etag = news.etag;
    const { view } = news;
    if (ENDED_STATES.includes(view.state)) return null;
    const offer = view.upload ?? view.download ?? null;
    if (offer !== null && offer.url !== not) return offer;
    await sleep(PAUSE_MS);
  }
}

async function mayGoOn(client: ApiClient, id: string): Promise<boolean> {
  return !ENDED_STATES.includes((await client.job(id)).state);
}

/** The offer is gone; the job may have another. */
function isOver(thrown: unknown): boolean {
  return thrown instanceof FerryError && (thrown.code === 'TICKET_REFUSED' || thrown.code === 'NODE_UNAVAILABLE');
}
