/** Every route there is; `app.ts` serves them and `openapi.ts` describes them. */
import type { ApiContext, Route } from '../context.js';
import { cancelJob } from './cancel-job.js';
import { createJob } from './create-job.js';
import { getJob } from './get-job.js';
import { healthz, readyz } from './health.js';
import { jobEvents } from './job-events.js';
import { listJobs } from './list-jobs.js';
import { openApi } from './openapi.js';
import { retryJob } from './retry-job.js';

export function routes(context: ApiContext): readonly Route[] {
  const described: Route[] = [createJob, listJobs, getJob, cancelJob, jobEvents, retryJob, healthz, readyz];
  return [...described, openApi(context, described)];
}
