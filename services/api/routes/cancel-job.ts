/** DELETE /v1/jobs/{id}: cancel. A waiting job is canceled by the answer, a running one soon after. */
import { JobView } from '../../../shared/schemas/job.js';
import type { Route } from '../context.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { JobPath, NoQuery } from '../schemas.js';
import { jobView, logIds } from '../view.js';
import { jobIdOf } from './ids.js';

export const cancelJob: Route = {
  method: 'delete',
  path: '/v1/jobs/{id}',
  operation: {
    operationId: 'cancelJob',
    summary: 'Cancel a job',
    requestParams: { path: JobPath },
    responses: {
      202: {
        description: 'canceled, or asked to stop: then it ends as `canceled` unless it completes first',
        content: { 'application/json': { schema: JobView } },
      },
      ...problems('BAD_REQUEST', 'JOB_NOT_FOUND', 'JOB_STATE_CONFLICT', 'QUEUE_UNAVAILABLE'),
    },
  },
  async handle({ jobs, log }, request, response) {
    const id = jobIdOf(request);
    readQuery(NoQuery, request);
    const record = await jobs.cancel(id);
    log.info({ ...logIds(record), state: record.state }, 'cancel requested');
    response.status(202).json(jobView(record));
  },
};
