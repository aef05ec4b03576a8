/** GET /v1/jobs/{id}: one job; with `?wait=SECONDS` when it changes (long poll). */
import { JobView } from '../../../shared/schemas/job.js';
import type { Route } from '../context.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { GetQuery, JobPath } from '../schemas.js';
import { answerVersion, EtagHeader, KnownVersion } from '../versioned.js';
import { jobView } from '../view.js';
import { jobIdOf, jobNotFound } from './ids.js';

export const getJob: Route = {
  method: 'get',
  path: '/v1/jobs/{id}',
  operation: {
    operationId: 'getJob',
    summary: 'Read a job, or wait until it changes',
    description:
      'With `wait` the answer comes at the next change, at once when the job has ended, and unchanged when the ' +
      'time is over. Send the ETag of the answer before as `If-None-Match` to wait for a change since then; ' +
      'without one the answer is then 304.',
    requestParams: { path: JobPath, query: GetQuery, header: KnownVersion },
    responses: {
      200: {
        description: 'the job',
        headers: EtagHeader,
        content: { 'application/json': { schema: JobView } },
      },
      304: { description: 'not changed since the version in If-None-Match' },
      ...problems('BAD_REQUEST', 'JOB_NOT_FOUND', 'QUEUE_UNAVAILABLE'),
    },
  },
  async handle(context, request, response) {
    const id = jobIdOf(request);
    const { wait = 0 } = readQuery(GetQuery, request);
    await answerVersion(context, request, response, wait, {
      next: (since, timeoutMs, signal) => context.jobs.waitForChange(id, since, timeoutMs, signal),
      view: jobView,
      missing: () => jobNotFound(id),
    });
  },
};
