/** Lets a BullMQ worker fetch jobs again after `pause(true)`. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Worker } from 'bullmq';

/**
 * Safe to repeat. A worker that is resumed just when the loop that its pause ended comes to its end (some microtasks)
 * is neither paused nor running afterwards, and fetches nothing for ever (BullMQ 6.7): so it is looked at again when
 * the loop has surely ended.
 */
export async function wakeWorker(worker: Worker): Promise<void> {
  await worker.resume();
  await nextTurn();
  if (!worker.isPaused() && !worker.isRunning()) await worker.resume();
}
