/** The demo's own `ferry serve`: a child process on a free port, with its data in the demo's directory. */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import type { JobRequestInput, JobView } from '../../shared/schemas/job.js';
import type { Cleanup } from './cleanup.js';
import { startFerry } from './ferry.js';

export async function startService(
  dataDir: string,
  roots: readonly string[],
  cleanup: Cleanup,
  signal: AbortSignal,
): Promise<{ readonly url: string }> {
  // It takes its queue server along, unless it is killed.
  cleanup.add('the queue server', async () => {
    for (const pid of await redisServersOf(dataDir)) process.kill(pid, 'SIGTERM');
  });
  const args = ['serve', '--port', '0', '--data-dir', dataDir, '--storage-roots', roots.join(':')];
  const { ready } = await startFerry(args, cleanup, signal);
  if (ready.api === undefined) throw new Error('ferry serve did not tell where its API is');
  return ready.api;
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
