/** The demo's own `ferry serve`: a child process on a free port, with its data in the demo's directory. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { JobRequestInput, JobView } from '../../shared/schemas/job.js';
import { environment } from './children.js';
import type { Cleanup } from './cleanup.js';

export const FERRY = fileURLToPath(new URL('../../services/cli/main.js', import.meta.url));

const READY_MS = 30_000;
const STOP_MS = 20_000;

export interface DemoService {
  readonly url: string;
}

export async function startService(
  dataDir: string,
  roots: readonly string[],
  cleanup: Cleanup,
  signal: AbortSignal,
): Promise<DemoService> {
  signal.throwIfAborted();
  const child = spawn(
    process.execPath,
    [FERRY, 'serve', '--port', '0', '--data-dir', dataDir, '--storage-roots', roots.join(':'), '--log-level', 'warn'],
    // In a session of its own: Ctrl-C is for us, and we stop it after its clients.
    { env: environment(), detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  cleanup.add('ferry serve', () => stop(child, dataDir));
  const ready = new Promise<DemoService>((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', (line) => resolve(JSON.parse(line).api));
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`ferry serve did not start: ${errors.trim()}`)));
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  return await Promise.race([
    ready,
    sleep(READY_MS, undefined, { ref: false }).then(() => {
      throw new Error(`ferry serve was not ready after ${READY_MS} ms: ${errors.trim()}`);
    }),
  ]);
}

/** From POST to `completed`, as a client sees it. @returns milliseconds */
export async function timeJob(url: string, request: JobRequestInput, signal: AbortSignal): Promise<number> {
  const before = performance.now();
  const answer = await fetch(`${url}/v1/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request),
    signal,
  });
  let job = (await answer.json()) as JobView;
  if (answer.status !== 202) throw new Error(`the API refused the job: ${JSON.stringify(job)}`);
  const { self } = job.links;
  while (!['completed', 'failed', 'canceled'].includes(job.state)) {
    job = (await (await fetch(`${url}${self}?wait=30`, { signal })).json()) as JobView;
  }
  if (job.state !== 'completed') throw new Error(`the job ended as ${job.state}: ${job.error?.message}`);
  return performance.now() - before;
}

async function stop(child: ChildProcess, dataDir: string): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await Promise.race([exited, sleep(STOP_MS, undefined, { ref: false }).then(() => child.kill('SIGKILL'))]);
    await exited;
  }
  // It took its queue server along, unless it was killed.
  for (const pid of await redisServersOf(dataDir)) process.kill(pid, 'SIGTERM');
}

async function redisServersOf(dataDir: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const command = await readFile(`/proc/${name}/comm`, 'utf8').catch(() => '');
    const directory = await readlink(`/proc/${name}/cwd`).catch(() => '');
    if (command.startsWith('redis-server') && directory === `${dataDir}/queue`) found.push(Number(name));
  }
  return found;
}
