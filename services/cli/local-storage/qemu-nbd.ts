/**
 * A read-only `qemu-nbd` for one image, on a socket that nobody else can reach. It ends by itself with its last client,
 * so that it does not outlive us, however we end.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../../../shared/errors.js';
import type { ImageFormat } from './image-format.js';

export interface ImageServer {
  readonly socket: string;
  close(): Promise<void>;
}

const CONNECTIONS = 16;
const PATIENCE_MS = 10_000;
const LOOK_MS = 10;

/** @throws FerryError NOT_SUPPORTED (no qemu-nbd here), BAD_REQUEST (it does not take the image) */
export async function startQemuNbd(path: string, format: ImageFormat): Promise<ImageServer> {
  const directory = await mkdtemp(join(tmpdir(), 'ferry-nbd-'));
  const [socket, pidFile] = [join(directory, 'socket'), join(directory, 'pid')];
  const args = ['--read-only', `--format=${format}`, `--socket=${socket}`, `--pid-file=${pidFile}`];
  const child = spawn('qemu-nbd', [...args, `--shared=${CONNECTIONS}`, '--', path], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  const ended = exit(child);
  const close = async () => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await ended;
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await listening(child, pidFile, path, () => said);
    return { socket, close };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

/** The pid is written down once it listens; to try the socket would make us its first, and last, client. */
async function listening(child: ChildProcess, pidFile: string, path: string, said: () => string): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  const failed = once(child, 'error').then(([cause]) => {
    throw new FerryError(
      'NOT_SUPPORTED',
      'Reading this format needs qemu-nbd: apt-get install qemu-utils',
      {},
      { cause },
    );
  });
  failed.catch(() => {});
  while ((await Promise.race([failed, readFile(pidFile, 'utf8').catch(() => '')])) === '') {
    if (child.exitCode !== null || child.signalCode !== null || Date.now() > deadline) {
      throw new FerryError('BAD_REQUEST', `qemu-nbd does not read ${path}: ${said().trim() || 'it did not start'}`, {
        path,
      });
    }
    await sleep(LOOK_MS);
  }
}

/** Of one that could not be started there is only an error. */
async function exit(child: ChildProcess): Promise<void> {
  await new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', () => resolve());
  });
}
