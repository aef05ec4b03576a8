/** A download: a client reads the source over the data plane until it says that it is done. */
import type { DownloadRequest, JobResult } from '../../shared/schemas/job.js';
import { serveClient } from './client-side.js';
import type { Offer } from './data-plane.js';
import { type JobRun, limitsOf, makeResult, sourceRequest, withHandles } from './job.js';

/** @throws FerryError what opening throws; CLIENT_IDLE, SOURCE_CHANGED, STORAGE_* */
export async function runLend(run: JobRun, request: DownloadRequest): Promise<JobResult> {
  const startedMs = performance.now();
  const { workers, progress, config } = run;
  return await withHandles(workers, async (keep) => {
    const source = await keep(workers.run('openSource', sourceRequest(request.source, limitsOf(config))));
    const { size } = source;
    progress.totals = { totalBytes: size, dataBytes: size, givenBytes: 0, zeroFirstBytes: 0, verify: false };
    progress.enter('copying');
    let seen = 0;
    const count = ({ transferredBytes }: Offer) => {
      progress.control.add('done', transferredBytes - seen);
      progress.control.add('copied', transferredBytes - seen);
      seen = transferredBytes;
      progress.durableBytes = progress.doneBytes;
    };
    await serveClient(run, { storage: source, op: 'read', size, allocation: 'sparse' }, count);
    await workers.run('checkSource', { source });
    // Holes need not be read to be known.
    progress.control.add('done', size - seen);
    progress.durableBytes = size;
    return makeResult(progress, null, startedMs);
  });
}
