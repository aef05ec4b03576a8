/**
 * Programs that the demo runs. Every one ends with the demo: by itself, or when `signal` is aborted.
 * Times are wall-clock milliseconds.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';

/** No variable of ours that happens to be set here decides what the demo shows; mkfs lives in sbin. */
export function environment(): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('FERRY_'));
  // Nor does it meet a service that runs here: the demo needs no data plane.
  const images = { FERRY_IMAGES_PORT: 'off', FERRY_LOCAL_SOCKET: 'off', FERRY_CONTROL_SOCKET: 'off' };
  return {
    ...Object.fromEntries(inherited),
    ...images,
    PATH: `${process.env.PATH}:/usr/sbin:/sbin`,
    LC_ALL: 'C.UTF-8',
  };
}

export interface RunOptions {
  readonly signal: AbortSignal;
  readonly input?: string;
  /** Show what it prints as it prints it: the person watches. */
  readonly visible?: boolean;
}

/**
 * Runs a program to its end.
 * @returns what it printed on stdout (nothing when visible), and how long it ran
 * @throws Error with its last words when it fails, is missing, or the demo is interrupted
 */
export async function run(
  command: string,
  args: readonly string[],
  { signal, input, visible = false }: RunOptions,
): Promise<{ stdout: string; durationMs: number }> {
  signal.throwIfAborted();
  const options: SpawnOptions = {
    env: environment(),
    stdio: visible ? 'inherit' : ['pipe', 'pipe', 'pipe'],
    signal,
    killSignal: 'SIGTERM',
  };
  const before = performance.now();
  const child = spawn(command, args, options);
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  child.stdin?.on('error', () => {});
  child.stdin?.end(input);
  const code = await ended(child);
  const durationMs = performance.now() - before;
  if (code === 0) return { stdout, durationMs };
  const words = stderr.trim().split('\n').at(-1) ?? '';
  throw new Error(`${command} ended with ${code ?? child.signalCode}${words === '' ? '' : `: ${words}`}`);
}

/** Waits for the end also after an abort: what follows may remove what the program still uses. */
async function ended(child: ChildProcess): Promise<number | null> {
  let failure: unknown;
  child.on('error', (cause) => {
    failure ??= cause;
  });
  if (child.pid === undefined) {
    await once(child, 'error').catch(() => {});
    throw failure;
  }
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  if (failure !== undefined) throw failure;
  return code;
}
