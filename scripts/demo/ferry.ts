/** Servers of the demos: `ferry` and `redis-server` as child processes, which end with the demo. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { environment } from './children.js';
import type { Cleanup } from './cleanup.js';

export const FERRY = fileURLToPath(new URL('../../services/cli/main.js', import.meta.url));

const READY_MS = 30_000;
const STOP_MS = 20_000;

export interface Server {
  readonly child: ChildProcess;
  readonly ready: { readonly api?: { readonly url: string } };
}

/** Starts `ferry serve`, `ferry api` or `ferry node`, and waits for its ready line. */
export async function startFerry(
  args: readonly string[],
  cleanup: Cleanup,
  signal: AbortSignal,
  env: Readonly<Record<string, string>> = {},
): Promise<Server> {
  const name = `ferry ${args[0]}`;
  const command = [process.execPath, FERRY, ...args, '--log-level', 'warn'];
  const understand = (line: string) => JSON.parse(line) as Server['ready'];
  return await startServer({ name, command, env, understand }, cleanup, signal);
}

export interface Program {
  readonly name: string;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Makes of a line on its stdout what it says when it is ready; undefined: it is not yet. */
  understand(line: string): Server['ready'] | undefined;
}

/**
 * Starts a program that goes on until `cleanup` ends it.
 * @throws Error with its last words when it ends before it is ready, or is not ready in time
 */
export async function startServer(
  { name, command, env, understand }: Program,
  cleanup: Cleanup,
  signal: AbortSignal,
): Promise<Server> {
  const [program, ...args] = command;
  signal.throwIfAborted();
  // In a session of its own: Ctrl-C is for us, and we stop it after its clients.
  const child = spawn(program as string, args, {
    env: { ...environment(), ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  cleanup.add(name, () => stop(child));
  const ready = new Promise<Server['ready']>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const said = understand(line);
      if (said !== undefined) resolve(said);
    });
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`${name} did not start: ${errors.trim()}`)));
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  const tooLate = sleep(READY_MS, undefined, { ref: false }).then(() => {
    throw new Error(`${name} was not ready after ${READY_MS} ms: ${errors.trim()}`);
  });
  return { child, ready: await Promise.race([ready, tooLate]) };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await Promise.race([exited, sleep(STOP_MS, undefined, { ref: false }).then(() => child.kill('SIGKILL'))]);
  await exited;
}
