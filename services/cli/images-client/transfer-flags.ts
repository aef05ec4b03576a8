/** Flags of `ferry upload` and `ferry download`, and the threads with which both reach this machine's disks. */
import { type Command, Option } from 'commander';
import { MiB } from '../../../shared/units.js';
import type { Workers } from '../../../workers/pool.js';
import { parseInteger } from '../parse.js';

export interface TransferFlags {
  readonly url?: string;
  readonly cacert?: string;
  readonly connections?: number;
}

/** More give no more on the machines that we have seen; a server may allow fewer. */
export const CONNECTIONS = 4;
const MOST_CONNECTIONS = 64;
const THREADS = 4;

export function addTransferFlags(command: Command): Command {
  return command
    .option('--cacert <FILE>', "PEM file of the authority that signed the server's certificate")
    .addOption(
      new Option('--connections <N>', `how many at once (${CONNECTIONS}); the server may allow fewer`).argParser(
        parseInteger(1, MOST_CONNECTIONS),
      ),
    );
}

/** Threads for as long as `work` runs. */
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
