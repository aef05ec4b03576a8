/** GET /v1/jobs: pages of jobs, newest first. */
import type { Route } from '../context.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { JobList, ListQuery } from '../schemas.js';
import { jobSummary } from '../view.js';

const DEFAULT_LIMIT = 100;

export const listJobs: Route = {
  method: 'get',
  path: '/v1/jobs',
  operation: {
    operationId: 'listJobs',
    summary: 'List jobs, newest first',
    requestParams: { query: ListQuery },
    responses: {
      200: { description: 'one page', content: { 'application/json': { schema: JobList } } },
      ...problems('BAD_REQUEST', 'QUEUE_UNAVAILABLE'),
    },
  },
  async handle({ jobs }, request, response) {
    const { limit = DEFAULT_LIMIT, cursor, ...filter } = readQuery(ListQuery, request);
    const page = await jobs.list(filter, limit, cursor);
    const list: JobList = { jobs: page.jobs.map(jobSummary), nextCursor: page.nextCursor };
    response.json(list);
  },
};
