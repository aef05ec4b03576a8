/**
 * NBD servers on unix sockets: `await using server = await startNbd(dir, ['nbdkit', 'memory', '64M']);`
 * nbdkit with any plugin and filter, or qemu-nbd for an image file. Ended by pid, and waited for.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { hasCommand } from './command.js';
import { type Declare, needs } from './needs.js';

export const needsNbd: Declare = needs(hasCommand('nbdkit') && hasCommand('qemu-nbd'), 'nbdkit and qemu-nbd');

export interface NbdServer extends AsyncDisposable {
  readonly socket: string;
  /** Of the export without a name. */
  readonly uri: string;
  readonly pid: number;
  /** As a crash. */
  kill(): Promise<void>;
}

const PATIENCE_MS = 10_000;

/** @param args  of nbdkit, after those for the socket: filters, plugin, parameters */
export async function startNbdkit(directory: string, args: readonly string[]): Promise<NbdServer> {
  const socket = join(directory, `nbdkit-${randomUUID()}.sock`);
  return await started(spawn('nbdkit', ['--foreground', '--exit-with-parent', '--unix', socket, ...args]), socket);
}

/** @param options  such as `--read-only`, `--bitmap=name` */
export async function startQemuNbd(
  directory: string,
  format: 'raw' | 'qcow2',
  image: string,
  options: readonly string[] = [],
): Promise<NbdServer> {
  const socket = join(directory, `qemu-nbd-${randomUUID()}.sock`);
  const args = ['--persistent', '--shared=8', `--format=${format}`, `--socket=${socket}`, ...options, image];
  return await started(spawn('qemu-nbd', args), socket);
}

/** What a server may do wrong while it negotiates; `wants-tls` is its right. */
export const STUBBORN = ['says-nothing', 'lists-nothing', 'never-goes', 'hangs-up', 'wants-tls'] as const;
export type Stubborn = (typeof STUBBORN)[number];

export async function startStubbornNbd(directory: string, point: Stubborn): Promise<NbdServer> {
  const socket = join(directory, `${point}.sock`);
  const program = fileURLToPath(new URL('../fixtures/stubborn-nbd.js', import.meta.url));
  return await started(spawn(process.execPath, [program, socket, point]), socket);
}

async function started(child: ChildProcess, socket: string): Promise<NbdServer> {
  let said = '';
  child.stderr?.on('data', (chunk) => {
    said += chunk;
  });
  const exited = once(child, 'exit');
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await exited;
  };
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await listens(socket))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      await end('SIGKILL');
      throw new Error(`the NBD server did not start: ${said}`);
    }
    await sleep(20);
  }
  return {
    socket,
    uri: `nbd+unix:///?socket=${encodeURIComponent(socket)}`,
    pid: child.pid as number,
    kill: () => end('SIGKILL'),
    [Symbol.asyncDispose]: () => end('SIGTERM'),
  };
}

/** There is a moment in which the socket is there and refuses. */
async function listens(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
