/**
 * Where the embedded queue server lives: `<data dir>/queue/`, readable by its owner only.
 * Source of the limit: unix(7), sun_path holds 108 bytes with the NUL at its end.
 */
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FerryError } from '../../../shared/errors.js';

const MAX_SOCKET_PATH = 107;

export interface QueuePaths {
  readonly directory: string;
  readonly socket: string;
  /** Held locked for as long as a redis-server uses this directory. */
  readonly lock: string;
  /** What redis-server prints. */
  readonly log: string;
}

/** @throws FerryError CONFIG_INVALID  the socket's path would not fit into a socket address */
export function queuePaths(dataDir: string): QueuePaths {
  const directory = join(dataDir, 'queue');
  const socket = join(directory, 'redis.sock');
  const length = Buffer.byteLength(socket);
  if (length > MAX_SOCKET_PATH) {
    throw new FerryError(
      'CONFIG_INVALID',
      `FERRY_DATA_DIR: ${dataDir} is too long: the socket ${socket} has ${length} bytes, ` +
        `Linux allows ${MAX_SOCKET_PATH}. Choose a directory that is ${length - MAX_SOCKET_PATH} bytes shorter`,
      { path: dataDir },
    );
  }
  return { directory, socket, lock: join(directory, 'lock'), log: join(directory, 'redis.log') };
}

/**
 * Makes the directory, mode 0700. Safe to repeat.
 * @throws FerryError CONFIG_INVALID  it cannot be made
 */
export async function makeQueueDirectory(paths: QueuePaths): Promise<void> {
  try {
    await mkdir(paths.directory, { recursive: true, mode: 0o700 });
    // A directory that was there before may be open to others: who can reach the socket owns the queue.
    await chmod(paths.directory, 0o700);
  } catch (cause) {
    throw new FerryError(
      'CONFIG_INVALID',
      `FERRY_DATA_DIR: ${(cause as Error).message}`,
      { path: paths.directory },
      { cause },
    );
  }
}
