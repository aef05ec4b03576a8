/** Whole jobs without a queue: what a node does with one request, on real threads. */
import { readdirSync, readlinkSync } from 'node:fs';
import type { JobRun } from '../../services/transfer/job.js';
import { UNSHARED } from '../../services/transfer/owner.js';
import { JobProgress } from '../../services/transfer/progress.js';
import { Throttle } from '../../services/transfer/throttle.js';
import { runUpload } from '../../services/transfer/upload.js';
import { runZero } from '../../services/transfer/zero.js';
import { createLog } from '../../shared/log.js';
import {
  isClientUpload,
  JobRequest,
  type JobRequestInput,
  type JobResult,
  type StoredUpload,
} from '../../shared/schemas/job.js';
import { MiB } from '../../shared/units.js';
import { ControlBlock } from '../../workers/control.js';
import { Workers } from '../../workers/pool.js';
import type { TaskName } from '../../workers/tasks/contracts.js';

export function startWorkers(threads = 4): Workers {
  return new Workers({ threads, bufferBytes: 8 * MiB });
}

export function jobRun(workers: Workers, storageRoots: readonly string[], flushIntervalMs = 60_000): JobRun {
  const progress = new JobProgress(new ControlBlock());
  return {
    workers,
    config: { storageRoots, nbdHosts: [], flushIntervalMs },
    progress,
    log: createLog('silent'),
    attempt: 1,
    owner: UNSHARED,
    throttle: new Throttle(),
    checkpoint: null,
    client: null,
    stopping: () => null,
  };
}

/** Runs a request as a client writes it; defaults are filled in. */
export async function runJob(run: JobRun, input: JobRequestInput): Promise<JobResult> {
  const request = JobRequest.parse(input);
  if (request.kind === 'download' || isClientUpload(request)) throw new Error('a client is needed for that');
  return request.kind === 'upload' ? await runUpload(run, request as StoredUpload) : await runZero(run, request);
}

/** Paths of all files and devices that this process has open: the same list before and after means no leak. */
export function openPaths(): string[] {
  const paths: string[] = [];
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      // A thread that has just started may still be loading its modules.
      if (path.startsWith('/') && !/^\/proc\/|\.(js|cjs|json|node)$/.test(path)) paths.push(path);
    } catch {
      // The descriptor of the listing itself.
    }
  }
  return paths.sort();
}

/**
 * The same workers, with something done just before the first task of a name begins: what another program does
 * to source or target at that moment.
 */
export function beforeFirst(workers: Workers, name: TaskName, action: () => Promise<void> | void): Workers {
  let done: Promise<void> | undefined;
  const run: Workers['run'] = async (task, input) => {
    if (task === name) {
      done ??= Promise.resolve(action());
      await done;
    }
    return await workers.run(task, input);
  };
  return new Proxy(workers, {
    get: (target, key) => (key === 'run' ? run : Reflect.get(target, key, target)),
  });
}
