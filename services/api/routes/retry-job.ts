/** POST /v1/jobs/{id}/retry: queue a failed or canceled job once more. */
import { JobView } from '../../../shared/schemas/job.js';
import { readJson } from '../body.js';
import type { Route } from '../context.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { JobPath, NoBody, NoQuery } from '../schemas.js';
import { validate } from '../validate.js';
import { jobLinks, jobView } from '../view.js';
import { jobIdOf } from './job-id.js';

export const retryJob: Route = {
  method: 'post',
  path: '/v1/jobs/{id}/retry',
  operation: {
    operationId: 'retryJob',
    summary: 'Queue a failed or canceled job once more',
    requestParams: { path: JobPath },
    requestBody: { required: false, content: { 'application/json': { schema: NoBody } } },
    responses: {
      202: { description: 'queued', content: { 'application/json': { schema: JobView } } },
      ...problems(
        'BAD_REQUEST',
        'BAD_JSON',
        'JOB_NOT_FOUND',
        'JOB_STATE_CONFLICT',
        'BODY_TOO_LARGE',
        'UNSUPPORTED_MEDIA_TYPE',
        'QUEUE_UNAVAILABLE',
      ),
    },
  },
  async handle({ jobs }, request, response) {
    const id = jobIdOf(request);
    readQuery(NoQuery, request);
    validate(NoBody, await readJson(request, response, false), 'body');
    response
      .status(202)
      .location(jobLinks(id).self)
      .json(jobView(await jobs.retry(id)));
  },
};
