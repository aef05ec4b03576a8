/**
 * Starts the redis-server program. Knows its arguments; does not decide whether it may run (see `lock.ts`).
 * Source of the settings: the redis.conf that comes with Redis 7.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile, rename, stat } from 'node:fs/promises';
import { FerryError } from '../../../shared/errors.js';
import { MiB } from '../../../shared/units.js';
import type { QueuePaths } from './paths.js';

const MAX_LOG = 8 * MiB;

/**
 * Starts a server that outlives us: its own session, no pipe to us, the lock inherited.
 * Returns when the program runs; it is not ready to answer yet.
 * @param lockFd  an open file that holds the directory's lock; the caller closes its own copy afterwards
 * @throws FerryError QUEUE_UNAVAILABLE  the program is missing or cannot be started
 */
export async function spawnRedis(paths: QueuePaths, lockFd: number): Promise<ChildProcess> {
  await rotate(paths.log);
  const log = await open(paths.log, 'a', 0o600);
  try {
    const child = spawn('redis-server', redisArguments(paths), {
      cwd: paths.directory,
      // Nothing of our environment: it may hold the API's token.
      env: { PATH: process.env.PATH, LANG: 'C.UTF-8' },
      detached: true,
      stdio: ['ignore', log.fd, log.fd, lockFd],
    });
    await once(child, 'spawn');
    child.unref();
    return child;
  } catch (cause) {
    throw spawnError(cause as NodeJS.ErrnoException);
  } finally {
    await log.close();
  }
}

function redisArguments(paths: QueuePaths): string[] {
  const settings: [string, string][] = [
    // No TCP: whoever may open the directory may use the queue, nobody else.
    ['port', '0'],
    ['unixsocket', paths.socket],
    ['unixsocketperm', '700'],
    ['dir', paths.directory],
    ['daemonize', 'no'],
    // Every change goes to the append-only file and to the disk within a second; no snapshots beside it.
    ['appendonly', 'yes'],
    ['appendfsync', 'everysec'],
    ['save', ''],
    // A queue that silently forgets is worse than one that refuses.
    ['maxmemory-policy', 'noeviction'],
    ['timeout', '0'],
    ['always-show-logo', 'no'],
  ];
  return settings.flatMap(([name, value]) => [`--${name}`, value]);
}

function spawnError(cause: NodeJS.ErrnoException): FerryError {
  const message =
    cause.code === 'ENOENT'
      ? 'The embedded queue needs the program redis-server, which was not found: ' +
        'run "apt-get install redis-server", or set FERRY_REDIS_URL to use a Redis that runs elsewhere'
      : `redis-server could not be started: ${cause.message}`;
  return new FerryError('QUEUE_UNAVAILABLE', message, {}, { cause });
}

/** Only who holds the lock may call this: a running server goes on writing to the file it has open. */
async function rotate(path: string): Promise<void> {
  const size = await stat(path).then(
    (stats) => stats.size,
    () => 0,
  );
  if (size > MAX_LOG) await rename(path, `${path}.1`);
}

/** The last words of a server that would not start, for an error message. */
export async function lastLines(path: string, count = 3): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines.slice(-count).join(' | ');
}
