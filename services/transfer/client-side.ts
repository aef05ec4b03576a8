/** A job that waits for its client: makes the offer, counts what comes, and knows when it is over. */
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../../shared/errors.js';
import type { FinalizeRequest } from '../../shared/schemas/job.js';
import type { Offer, OfferRequest } from './data-plane.js';
import type { JobRun } from './job.js';

/** How often the client's work is looked at. */
const LOOK_MS = 100;

/**
 * Offers storage until the client says that it is done. In the end nothing runs under the offer any more.
 * @param onProgress  called now and then, and once at the end
 * @throws FerryError CLIENT_IDLE, CANCELED, LEASE_LOST, and what a flush of the client met
 */
export async function serveClient(
  run: JobRun,
  request: Pick<OfferRequest, 'storage' | 'op' | 'size' | 'allocation'>,
  onProgress: (offer: Offer) => void,
): Promise<FinalizeRequest> {
  const { client, progress, owner } = run;
  if (client === null) throw new FerryError('INTERNAL', 'a job with a client needs a data plane');
  const { control } = progress;
  const offer = client.plane.offer({ ...request, transferId: client.job, control: control.memory });
  let said: FinalizeRequest | null = null;
  try {
    await owner.offer({ url: offer.url, local: offer.local });
    while (said === null) {
      await sleep(LOOK_MS);
      control.check();
      if (offer.failure !== null) break;
      onProgress(offer);
      said = client.said();
      if (said === null && offer.idleMs > client.timeoutMs) throw idle(client.timeoutMs);
    }
  } finally {
    await offer.revoke();
    onProgress(offer);
  }
  if (offer.failure !== null) throw offer.failure;
  return said as FinalizeRequest;
}

function idle(timeoutMs: number): FerryError {
  const seconds = Math.round(timeoutMs / 1000);
  return new FerryError('CLIENT_IDLE', `the client did nothing for ${seconds} s; what is durable is kept for a retry`);
}
