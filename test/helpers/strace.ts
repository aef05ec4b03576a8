/** A job in its own process under strace(1), which makes named system calls fail. */
import { fileURLToPath } from 'node:url';
import type { WireError } from '../../shared/errors.js';
import type { JobRequestInput, JobResult } from '../../shared/schemas/job.js';
import { run } from './command.js';

export interface TracedJob {
  readonly request: JobRequestInput;
  readonly roots: readonly string[];
  readonly flushIntervalMs?: number;
}

export interface TracedAnswer {
  readonly result?: JobResult;
  readonly error?: WireError;
  /** Files that were opened and not closed. */
  readonly leaked: readonly string[];
}

/**
 * @param inject  such as `fdatasync:error=EIO`, see strace(1); a `when=` counts the calls of each thread
 * @param paths   only calls on these files; default: all
 */
export async function runJobWith(
  inject: readonly string[],
  job: TracedJob,
  paths: readonly string[] = [],
): Promise<TracedAnswer> {
  const calls = inject.map((text) => text.split(':')[0]).join(',');
  const program = fileURLToPath(new URL('../fixtures/run-job.js', import.meta.url));
  const stdout = await run('strace', [
    '--follow-forks',
    '--quiet=all',
    '--output=/dev/null',
    `--trace=${calls}`,
    ...inject.flatMap((text) => ['-e', `inject=${text}`]),
    ...paths.map((path) => `--trace-path=${path}`),
    '--',
    process.execPath,
    program,
    JSON.stringify(job),
  ]);
  return JSON.parse(stdout) as TracedAnswer;
}
