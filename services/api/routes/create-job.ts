/** POST /v1/jobs: queue a job, or with `?dryRun=true` only say what it would do. */
import { JobRequest, Plan } from '../../../shared/schemas/job.js';
import { readJson } from '../body.js';
import type { Route } from '../context.js';
import { IdempotencyHeader, readIdempotencyKey } from '../idempotency.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { CreateQuery, JobAccepted, locationOf } from '../schemas.js';
import { checkStorage } from '../storage-check.js';
import { validate } from '../validate.js';
import { jobAccepted, jobLinks } from '../view.js';

export const createJob: Route = {
  method: 'post',
  path: '/v1/jobs',
  operation: {
    operationId: 'createJob',
    summary: 'Submit a job, or plan it',
    requestParams: { query: CreateQuery, header: IdempotencyHeader },
    requestBody: { required: true, content: { 'application/json': { schema: JobRequest } } },
    responses: {
      202: {
        description: 'queued, or queued before under the same Idempotency-Key',
        headers: locationOf('job'),
        content: { 'application/json': { schema: JobAccepted } },
      },
      200: { description: 'the plan (dryRun)', content: { 'application/json': { schema: Plan } } },
      ...problems(
        'BAD_REQUEST',
        'BAD_JSON',
        'PATH_FORBIDDEN',
        'STORAGE_DENIED',
        'IDEMPOTENCY_CONFLICT',
        'TARGET_BUSY',
        'BODY_TOO_LARGE',
        'UNSUPPORTED_MEDIA_TYPE',
        'PATH_NOT_FOUND',
        'PATH_NOT_SUPPORTED',
        'POOL_UNKNOWN',
        'TARGET_IS_SOURCE',
        'SOURCE_EMPTY',
        'TARGET_TOO_SMALL',
        'RANGE_OUTSIDE_TARGET',
        'NOT_SUPPORTED',
        'STORAGE_FULL',
        'QUEUE_UNAVAILABLE',
        'NODE_UNAVAILABLE',
      ),
    },
  },
  async handle(context, request, response) {
    const { dryRun } = readQuery(CreateQuery, request);
    const idempotencyKey = readIdempotencyKey(request);
    const job = validate(JobRequest, await readJson(request, response, true), 'body');
    if (dryRun === true) {
      if (context.checkStorage) await checkStorage(context, job);
      response.json(await context.plans.plan(job));
      return;
    }
    // A repeated request is answered as the first was, even when its source is gone by now.
    let created = idempotencyKey === undefined ? null : await context.jobs.findCreated(job, idempotencyKey);
    if (created === null) {
      if (context.checkStorage) await checkStorage(context, job);
      created = await context.jobs.create(job, { idempotencyKey });
      if (!created.replayed)
        context.log.info({ job: created.id, kind: job.kind, pool: job.pool, state: 'queued' }, 'queued');
    }
    response.status(202).location(jobLinks(created.id).self).json(jobAccepted(created));
  },
};
