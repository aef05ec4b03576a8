/** PATCH /v1/jobs/{id}: change the priority or the bandwidth of a job that has not ended. */
import { JobPatch, JobView } from '../../../shared/schemas/job.js';
import { readJson } from '../body.js';
import type { Route } from '../context.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { JobPath, NoQuery } from '../schemas.js';
import { validate } from '../validate.js';
import { jobView, logIds } from '../view.js';
import { jobIdOf } from './ids.js';

export const patchJob: Route = {
  method: 'patch',
  path: '/v1/jobs/{id}',
  operation: {
    operationId: 'patchJob',
    summary: 'Change the priority or the bandwidth of a job',
    requestParams: { path: JobPath },
    requestBody: { required: true, content: { 'application/json': { schema: JobPatch } } },
    responses: {
      200: { description: 'the job as it is now', content: { 'application/json': { schema: JobView } } },
      ...problems(
        'BAD_REQUEST',
        'BAD_JSON',
        'JOB_NOT_FOUND',
        'JOB_STATE_CONFLICT',
        'NOT_SUPPORTED',
        'BODY_TOO_LARGE',
        'UNSUPPORTED_MEDIA_TYPE',
        'QUEUE_UNAVAILABLE',
      ),
    },
  },
  async handle({ jobs, log }, request, response) {
    const id = jobIdOf(request);
    readQuery(NoQuery, request);
    const patch = validate(JobPatch, await readJson(request, response, true), 'body');
    const record = await jobs.patch(id, patch);
    log.info({ ...logIds(record), ...patch }, 'changed');
    response.json(jobView(record));
  },
};
