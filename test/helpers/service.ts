/**
 * A whole `ferry serve` as its users run it: a process of its own, an embedded queue server, real HTTP.
 * `await using service = await startService({ roots: [dir.path] });`
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { JobRequestInput, JobView } from '../../shared/schemas/job.js';
import { cleanUp, FERRY, start, temporaryDirectory } from '../integration/cli/programs.js';

export interface ServiceOptions {
  readonly roots: readonly string[];
  /** Default: a new one, removed at the end. Give one to start again where an earlier service stopped. */
  readonly dataDir?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Service extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  readonly dataDir: string;
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** Submits a job. @throws Error when it is not accepted */
  submit(request: JobRequestInput): Promise<JobView>;
  job(id: string): Promise<JobView>;
  /** Waits for the first view of the job for which `check` holds. */
  until(id: string, check: (job: JobView) => boolean): Promise<JobView>;
  /** Waits until the job has ended, however that came. */
  ended(id: string): Promise<JobView>;
  /** @returns the exit code, null when the signal ended it */
  end(signal: NodeJS.Signals): Promise<number | null>;
  stderr(): string;
}

const ENDED = ['completed', 'failed', 'canceled'];

export async function startService(options: ServiceOptions): Promise<Service> {
  const dataDir = options.dataDir ?? (await temporaryDirectory());
  const program = start(FERRY, ['serve'], {
    FERRY_API_PORT: '0',
    FERRY_DATA_DIR: dataDir,
    FERRY_STORAGE_ROOTS: options.roots.join(':'),
    FERRY_RETRY_DELAY_MS: '100',
    ...options.env,
  });
  const ready = JSON.parse(await program.line()) as { api: { url: string } };
  const { url } = ready.api;
  let exited: number | null | undefined;
  const service: Service = {
    url,
    pid: program.pid,
    dataDir,
    fetch: (path, init) => fetch(`${url}${path}`, init),
    async submit(request) {
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch(`${url}/v1/jobs`, { method: 'POST', headers, body: JSON.stringify(request) });
      const body = (await answer.json()) as JobView;
      if (answer.status !== 202) throw new Error(`${answer.status}: ${JSON.stringify(body)}`);
      return body;
    },
    async job(id) {
      return (await (await fetch(`${url}/v1/jobs/${id}`)).json()) as JobView;
    },
    async until(id, check) {
      let job = await service.job(id);
      while (!check(job)) {
        if (ENDED.includes(job.state)) throw new Error(`the job ended before: ${JSON.stringify(job)}`);
        job = (await (await fetch(`${url}/v1/jobs/${id}?wait=30`)).json()) as JobView;
      }
      return job;
    },
    ended: (id) => service.until(id, (job) => ENDED.includes(job.state)),
    async end(signal) {
      exited = await program.end(signal);
      return exited;
    },
    stderr: program.stderr,
    async [Symbol.asyncDispose]() {
      if (exited === undefined) await program.end('SIGTERM');
      if (options.dataDir === undefined) await cleanUp(dataDir);
    },
  };
  return service;
}

export interface Tracer extends AsyncDisposable {
  /** Stops injecting; the program goes on untouched. */
  detach(): Promise<void>;
}

/**
 * Makes system calls of a running process fail or take longer, on all of its threads (strace(1) -e inject).
 * @param inject  such as `pwrite64:delay_enter=20000` (microseconds) or `fdatasync:error=EIO`
 */
export async function injectFaults(pid: number, inject: string): Promise<Tracer> {
  const call = inject.slice(0, inject.indexOf(':'));
  const args = ['-f', '-p', String(pid), '-e', `trace=${call}`, '-e', `inject=${inject}`, '-o', '/dev/null'];
  const strace: ChildProcess = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const lines = createInterface({ input: strace.stderr as NonNullable<typeof strace.stderr> });
  await new Promise<void>((resolve, reject) => {
    lines.on('line', (line) => {
      // One such line a thread; the last ones may follow, new threads are followed by themselves.
      if (/attached/.test(line)) resolve();
    });
    strace.once('exit', (code) => reject(new Error(`strace ended with ${code}`)));
  });
  const detach = async () => {
    if (strace.exitCode !== null || strace.signalCode !== null) return;
    const exit = once(strace, 'exit');
    strace.kill('SIGINT');
    await exit;
  };
  return { detach, [Symbol.asyncDispose]: detach };
}
