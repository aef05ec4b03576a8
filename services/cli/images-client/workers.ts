/** Threads of a command that reads or writes images of this machine by itself. */
import { MiB } from '../../../shared/units.js';
import type { Workers } from '../../../workers/pool.js';

const THREADS = 4;

export async function withWorkers<T>(work: (workers: Workers) => Promise<T>): Promise<T> {
  // Other commands need none of this: they start sooner without it.
  const { Workers } = await import('../../../workers/pool.js');
  const workers = new Workers({ threads: THREADS, bufferBytes: THREADS * MiB });
  try {
    return await work(workers);
  } finally {
    await workers.close();
  }
}
