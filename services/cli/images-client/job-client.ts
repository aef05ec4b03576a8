/**
 * The client's side of a job that waits for one: serves whatever the job offers, until the job has ended. An offer goes
 * when its node dies or the job is paused; then the next one is served, from what is durable. Knows nothing of images.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../../../shared/errors.js';
import type { FinalizeRequest, JobView } from '../../../shared/schemas/job.js';
import { ENDED_STATES } from '../../../shared/states.js';
import type { ApiClient } from '../api-client.js';

/** As long as the CLI waits for a server that restarts. */
const PATIENCE_MS = 120_000;
const PAUSE_MS = 1000;

export interface JobOffer {
  readonly url: string;
  readonly local: string | null;
  /** Packed; of a download: nothing. */
  readonly durable: readonly number[];
  /** Aborted when the job offers something else, or nothing: there is no use in trying again then. */
  readonly gone: AbortSignal;
}

/** What a job offers now, as its views tell. */
export class Offers {
  #view: JobView | null = null;
  #closed = false;
  #wake: () => void = () => {};
  #given: { readonly url: string; readonly gone: AbortController } | null = null;

  heard(view: JobView): void {
    this.#view = view;
    if (this.#given !== null && this.#given.url !== offerOf(view)?.url) {
      this.#given.gone.abort(new FerryError('TICKET_REFUSED', 'The job does not offer this any more'));
      this.#given = null;
    }
    this.#wake();
  }

  /** The job is not watched any more. */
  close(): void {
    this.#closed = true;
    this.#wake();
  }

  /** @returns the present offer as soon as there is one other than `not`; null when none will come */
  async next(not: string | null): Promise<JobOffer | null> {
    for (;;) {
      if (this.#closed || (this.#view !== null && ENDED_STATES.includes(this.#view.state))) return null;
      const offer = this.#view === null ? null : offerOf(this.#view);
      if (offer !== null && offer.url !== not) {
        const { url, local } = offer;
        if (this.#given?.url !== url) this.#given = { url, gone: new AbortController() };
        return { url, local, durable: this.#view?.upload?.durable.flat() ?? [], gone: this.#given.gone.signal };
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

function offerOf({ upload = null, download = null }: JobView) {
  return upload ?? download;
}

export interface JobClient {
  readonly offers: Offers;
  /** Does all that the offer is for, and tells the job so. `reached`: the offer's server has answered. */
  readonly serve: (offer: JobOffer, reached: () => void) => Promise<void>;
  readonly patienceMs?: number;
}

/**
 * Resolves when the job has ended, or is not watched any more.
 * @throws FerryError  what the client met that no other offer can help
 */
export async function serveJob({ offers, serve, patienceMs = PATIENCE_MS }: JobClient): Promise<void> {
  let served: string | null = null;
  let everReached = false;
  let lostAtMs: number | null = null;
  for (;;) {
    // A job that was told that all is sent may offer again: what it had was lost with its node.
    const offer = await offers.next(served);
    if (offer === null) return;
    try {
      await serve(offer, () => {
        everReached = true;
        lostAtMs = null;
      });
      served = offer.url;
    } catch (thrown) {
      if (!isLost(thrown)) throw thrown;
      if (offer.gone.aborted) continue;
      if (!everReached) throw thrown;
      lostAtMs ??= performance.now();
      if (performance.now() - lostAtMs > patienceMs) throw thrown;
      // Until the job knows that its node is gone it shows the old offer; and a network may just have been away.
      await sleep(PAUSE_MS);
    }
  }
}

/** The offer has gone, or cannot be reached now. */
function isLost(thrown: unknown): boolean {
  const codes = ['TICKET_REFUSED', 'NODE_UNAVAILABLE', 'QUEUE_UNAVAILABLE', 'JOB_STATE_CONFLICT'];
  return thrown instanceof FerryError && codes.includes(thrown.code);
}

/**
 * Tells the job that its client is done. All has been moved and nobody wants to do that again, so an API that is away
 * for a while is waited for.
 * @throws FerryError JOB_STATE_CONFLICT, NODE_UNAVAILABLE
 */
export async function finalizeJob(
  api: ApiClient,
  id: string,
  checksum: FinalizeRequest['checksum'],
  signal: AbortSignal,
): Promise<void> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  for (;;) {
    signal.throwIfAborted();
    try {
      await api.finalize(id, checksum);
      return;
    } catch (thrown) {
      const away = thrown instanceof FerryError && ['NODE_UNAVAILABLE', 'QUEUE_UNAVAILABLE'].includes(thrown.code);
      if (!away || performance.now() > deadlineMs) throw thrown;
    }
    await sleep(PAUSE_MS);
  }
}
