/** POST /v1/jobs/{id}/finalize: the client of a job says that it has sent all, or read all. */
import { FinalizeRequest, JobView } from '../../../shared/schemas/job.js';
import { checkAlgorithm } from '../../../workers/hashes.js';
import { readJson } from '../body.js';
import type { Route } from '../context.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { JobPath, NoQuery } from '../schemas.js';
import { validate } from '../validate.js';
import { jobLinks, jobView, logIds } from '../view.js';
import { jobIdOf } from './ids.js';

export const finalizeJob: Route = {
  method: 'post',
  path: '/v1/jobs/{id}/finalize',
  operation: {
    operationId: 'finalizeJob',
    summary: 'Say that the client of a job is done',
    description:
      'What an upload by a client did not send reads as zeroes afterwards. The job then makes all of it durable, compares the checksum where one is given, and completes.',
    requestParams: { path: JobPath },
    requestBody: { required: false, content: { 'application/json': { schema: FinalizeRequest } } },
    responses: {
      202: { description: 'the job completes now', content: { 'application/json': { schema: JobView } } },
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
  async handle({ jobs, log }, request, response) {
    const id = jobIdOf(request);
    readQuery(NoQuery, request);
    const said = validate(FinalizeRequest, await readJson(request, response, false), 'body');
    if (said.checksum !== undefined) checkAlgorithm(said.checksum.algorithm);
    const record = await jobs.finalize(id, said);
    log.info(logIds(record), 'finalize requested');
    response.status(202).location(jobLinks(id).self).json(jobView(record));
  },
};
