/** How long we wait for Redis: for what must not be lost to a short absence, and for what must not hang. */
import { setTimeout as delay } from 'node:timers/promises';
import { FerryError } from '../errors.js';

const PATIENCE_MS = 60_000;
const PAUSE_MS = 250;

/**
 * Repeats `work` while it fails with QUEUE_UNAVAILABLE. Only for work that is safe to repeat.
 * @throws what `work` threw last, when the patience is over, and any other error at once
 */
export async function persistently<T>(work: () => Promise<T>, patienceMs = PATIENCE_MS): Promise<T> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const away = error instanceof FerryError && error.code === 'QUEUE_UNAVAILABLE';
      if (!away || Date.now() + PAUSE_MS > deadline) throw error;
    }
    await delay(PAUSE_MS);
  }
}

/**
 * Waits for the end of something, but not longer; failures are ignored. For closing BullMQ's parts: while their
 * connection is between two attempts to reconnect, their own close never resolves (BullMQ 6, ioredis 6).
 */
export async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  const stop = new AbortController();
  const late = delay(ms, undefined, { signal: stop.signal, ref: true }).catch(() => {});
  await Promise.race([work.catch(() => {}), late]);
  stop.abort();
}

/** Waits for the answer of a queue server, but not longer. @throws FerryError QUEUE_UNAVAILABLE when it takes longer */
export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new FerryError('QUEUE_UNAVAILABLE', 'the queue server does not answer')), ms);
  });
  return await Promise.race([work, late]).finally(() => clearTimeout(timer));
}
