/** Runs our compiled programs as real processes, and makes sure that none survives its test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const FERRY = fileURLToPath(new URL('../../../services/cli/main.js', import.meta.url));
export const QUEUE_STARTER = fileURLToPath(new URL('./queue-starter.js', import.meta.url));

export interface Running {
  readonly child: ChildProcess;
  readonly pid: number;
  /** The next line on stdout; rejects when the program ends without one. */
  line(): Promise<string>;
  stderr(): string;
  /** Sends the signal and waits for the end. @returns the exit code, null when the signal ended it */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A short directory of its own: socket paths are limited. */
export async function temporaryDirectory(): Promise<string> {
  return await mkdtemp(join(tmpdir(), 'ferry-cli-'));
}

/** @param via  a program that runs it by replacing itself (exec), such as `ip netns exec <name>` */
export function start(
  script: string,
  args: readonly string[],
  env: Record<string, string> = {},
  via: readonly string[] = [],
): Running {
  const [program = process.execPath, ...rest] = [...via, process.execPath, script, ...args];
  // Nodes of one machine would all use the sockets of one data directory.
  const sockets = args[0] === 'node' ? { FERRY_LOCAL_SOCKET: 'off', FERRY_CONTROL_SOCKET: 'off' } : {};
  const child = spawn(program, rest, {
    env: cleanEnvironment({ ...sockets, ...env }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const exit = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  return {
    child,
    pid: Number(child.pid),
    stderr: () => errors,
    async line() {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`the program ended without a line: ${errors}`);
      return value as string;
    },
    async end(signal) {
      child.kill(signal);
      return await exit;
    },
  };
}

/** Runs a program to its end; one that hangs is killed after half a minute (code null). */
export async function run(
  script: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Finished> {
  const child = spawn(process.execPath, [script, ...args], {
    env: cleanEnvironment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 30_000,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

/** Our variables of the shell that runs the tests must not decide what they see. */
function cleanEnvironment(env: Record<string, string>): Record<string, string> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('FERRY_'));
  // Several run at once, and one that is installed here may have the default port.
  return { ...(Object.fromEntries(inherited) as Record<string, string>), FERRY_IMAGES_PORT: '0', ...env };
}

/** The redis-servers that work in `<dataDir>/queue`, by pid. */
export async function redisServersOf(dataDir: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const command = await readFile(`/proc/${name}/comm`, 'utf8').catch(() => '');
    const cwd = await readlink(`/proc/${name}/cwd`).catch(() => '');
    if (command.startsWith('redis-server') && cwd === join(dataDir, 'queue')) found.push(Number(name));
  }
  return found;
}

/** Ends what a test left in `dataDir`, then removes it. */
export async function cleanUp(dataDir: string): Promise<void> {
  for (const pid of await redisServersOf(dataDir)) process.kill(pid, 'SIGKILL');
  await rm(dataDir, { recursive: true, force: true });
}

/** Waits for something that no event tells: the state of another process. */
export async function until(what: string, check: () => Promise<boolean> | boolean, timeoutMs = 15_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
