/** Ours, as a user gets it: a `ferry serve` with its defaults, from just before `POST /v1/jobs` to `completed`. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { startFerry } from '../../scripts/demo/ferry.js';
import type { JobRequestInput, JobView } from '../../shared/schemas/job.js';
import { ENDED_STATES } from '../../shared/states.js';
import type { Contestant, Run, Task } from './contestants.js';
import type { Stage } from './stage.js';
import type { Target } from './targets.js';

export const OURS = 'imageferry';
export const ENGINE = 'imageferry, engine alone';

/** @param roots  directories and devices that it may use */
export async function startOurs(roots: readonly string[], stage: Stage): Promise<Contestant> {
  const data = join(stage.directory, `ferry-${performance.now().toFixed(0)}`);
  await mkdir(data);
  const flags = ['--port', '0', '--data-dir', data, '--storage-roots', roots.join(':')];
  const { ready } = await startFerry(['serve', ...flags], stage.cleanup, stage.signal);
  const url = ready.api?.url;
  if (url === undefined) throw new Error('ferry serve said nothing of its API');
  return {
    name: OURS,
    role: 'ours',
    how: 'POST /v1/jobs to completed, defaults',
    run: async (task, signal) => await measure(url, task, signal),
  };
}

async function measure(url: string, task: Task, signal: AbortSignal): Promise<Run> {
  const before = performance.now();
  const jobs = await Promise.all(task.targets.map((target) => runJob(url, request(task, target), signal)));
  const ms = performance.now() - before;
  const startedMs = Math.min(...jobs.map(({ startedAt }) => Date.parse(startedAt as string)));
  const endedMs = Math.max(...jobs.map(({ endedAt }) => Date.parse(endedAt as string)));
  return {
    ms,
    engineMs: jobs.length === 1 ? (jobs[0]?.result?.durationMs ?? ms) : endedMs - startedMs,
    details: jobs.map(({ result }) => result),
  };
}

function request({ source, kind }: Task, target: Target): JobRequestInput {
  const to = { type: kind.device ? 'block' : 'file', path: target.path } as const;
  const options = { allocation: kind.allocation };
  return source === null
    ? { kind: 'zero', target: to, options }
    : { kind: 'upload', source: { type: 'file', path: source }, target: to, options };
}

async function runJob(url: string, request: JobRequestInput, signal: AbortSignal): Promise<JobView> {
  const headers = { 'content-type': 'application/json' };
  const accepted = await fetch(`${url}/v1/jobs`, { method: 'POST', headers, body: JSON.stringify(request), signal });
  if (accepted.status !== 202) throw new Error(`imageferry refused the job: ${await accepted.text()}`);
  let job = (await accepted.json()) as JobView;
  while (!ENDED_STATES.includes(job.state)) {
    job = (await (await fetch(`${url}${job.links.self}?wait=30`, { signal })).json()) as JobView;
  }
  if (job.state !== 'completed') throw new Error(`imageferry: ${job.state}, ${job.error?.code}: ${job.error?.message}`);
  return job;
}
