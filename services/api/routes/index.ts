/** Every route there is; `app.ts` serves them and `openapi.ts` describes them. */
import type { ApiContext, Route } from '../context.js';
import { pauseBatch, resumeBatch, retryBatch } from './batch-actions.js';
import { batchEvents } from './batch-events.js';
import { cancelBatch } from './cancel-batch.js';
import { cancelJob } from './cancel-job.js';
import { createBatch } from './create-batch.js';
import { createJob } from './create-job.js';
import { finalizeJob } from './finalize-job.js';
import { getBatch } from './get-batch.js';
import { getJob } from './get-job.js';
import { healthz, readyz } from './health.js';
import { pauseJob, resumeJob, retryJob } from './job-actions.js';
import { jobEvents } from './job-events.js';
import { listBatches } from './list-batches.js';
import { listJobs } from './list-jobs.js';
import { listNodes } from './list-nodes.js';
import { metrics } from './metrics.js';
import { openApi } from './openapi.js';
import { patchJob } from './patch-job.js';

export function routes(context: ApiContext): readonly Route[] {
  const described: Route[] = [
    ...[createJob, listJobs, getJob, patchJob, cancelJob, jobEvents, pauseJob, resumeJob, retryJob, finalizeJob],
    ...[createBatch, listBatches, getBatch, cancelBatch, batchEvents, pauseBatch, resumeBatch, retryBatch],
    listNodes,
    ...[metrics, healthz, readyz],
  ];
  return [...described, openApi(context, described)];
}
