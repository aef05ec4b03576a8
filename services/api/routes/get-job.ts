/** GET /v1/jobs/{id}: one job; with `?wait=SECONDS` when it changes (long poll). */
import { z } from 'zod';
import { JobView } from '../../../shared/schemas/job.js';
import { type Route, whileWanted } from '../context.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { GetQuery, JobPath } from '../schemas.js';
import { jobEtag, jobView } from '../view.js';
import { jobIdOf, jobNotFound } from './job-id.js';

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
    requestParams: {
      path: JobPath,
      query: GetQuery,
      header: z.object({ 'If-None-Match': z.string().optional().meta({ description: 'ETag of an earlier answer' }) }),
    },
    responses: {
      200: {
        description: 'the job',
        headers: z.object({ ETag: z.string().meta({ description: 'names this version of the job' }) }),
        content: { 'application/json': { schema: JobView } },
      },
      304: { description: 'not changed since the version in If-None-Match' },
      ...problems('BAD_REQUEST', 'JOB_NOT_FOUND', 'QUEUE_UNAVAILABLE'),
    },
  },
  async handle(context, request, response) {
    const id = jobIdOf(request);
    const { wait = 0 } = readQuery(GetQuery, request);
    const known = knownVersion(request.headers['if-none-match']);
    const wanted = whileWanted(context, response);
    try {
      const record = await context.jobs.waitForChange(id, known ?? 'current', wait * 1000, wanted.signal);
      if (response.destroyed) return;
      if (record === null) throw jobNotFound(id);
      response.set('ETag', jobEtag(record));
      if (record.version === known) response.status(304).end();
      else response.json(jobView(record));
    } finally {
      wanted.release();
    }
  },
};

function knownVersion(etag: string | undefined): number | undefined {
  const digits = /^(?:W\/)?"(\d{1,15})"$/.exec(etag ?? '')?.[1];
  return digits === undefined ? undefined : Number(digits);
}
