/** imageferry as a user gets it: a running `ferry serve`, from POST /v1/jobs until the job says `completed`. */

import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { startFerry } from '../../scripts/demo/ferry.js';
import type { JobRequestInput, JobResult, JobView } from '../../shared/schemas/job.js';
import type { Contestant } from './contestants.js';
import type { Stage } from './scratch.js';
import type { BenchTarget } from './targets.js';

export interface Ours {
  readonly contestant: Contestant;
  /** Of the copy before: how long the engine itself took, from the first job's start to the last one's end, and results. */
  last(): { readonly engineMs: number; readonly results: readonly JobResult[] };
  stop(): Promise<void>;
}

/** @param concurrency  jobs at once */
export async function startOurs(
  stage: Stage,
  roots: readonly string[],
  concurrency: number,
  zero = false,
): Promise<Ours> {
  const { cleanup, signal, directory } = stage;
  const flags = ['--port', '0', '--data-dir', join(directory, 'state'), '--storage-roots', roots.join(':')];
  const { child, ready } = await startFerry(['serve', ...flags, '--concurrency', String(concurrency)], cleanup, signal);
  const url = ready.api?.url as string;
  let ended: readonly JobView[] = [];
  return {
    contestant: {
      name: 'imageferry',
      role: 'ours',
      how: 'POST /v1/jobs … completed',
      async copy(image, targets) {
        const start = performance.now();
        ended = await Promise.all(
          targets.map((target) => runJob(url, zero ? zeroJob(target) : uploadJob(image.path, target), signal)),
        );
        return performance.now() - start;
      },
    },
    last() {
      const times = ended.map(({ startedAt, endedAt }) => [Date.parse(startedAt ?? ''), Date.parse(endedAt ?? '')]);
      const engineMs =
        Math.max(...times.map(([, to]) => to as number)) - Math.min(...times.map(([from]) => from as number));
      return { engineMs, results: ended.map(({ result }) => result as JobResult) };
    },
    async stop() {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await Promise.race([exited, sleep(20_000)]);
    },
  };
}

function uploadJob(path: string, { type, path: to, allocation }: BenchTarget): JobRequestInput {
  return { kind: 'upload', source: { type: 'file', path }, target: { type, path: to }, options: { allocation } };
}

function zeroJob({ type, path, allocation }: BenchTarget): JobRequestInput {
  return { kind: 'zero', target: { type, path }, options: { allocation } };
}

async function runJob(url: string, request: JobRequestInput, signal: AbortSignal): Promise<JobView> {
  const headers = { 'content-type': 'application/json' };
  const accepted = await fetch(`${url}/v1/jobs`, { method: 'POST', headers, body: JSON.stringify(request), signal });
  const { links } = (await accepted.json()) as JobView;
  for (;;) {
    const job = (await (await fetch(`${url}${links.self}?wait=30`, { signal })).json()) as JobView;
    if (job.state === 'completed') return job;
    if (job.state === 'failed' || job.state === 'canceled')
      throw new Error(`${job.error?.code}: ${job.error?.message}`);
  }
}
