/** POST /v1/jobs: queue a job, or with `?dryRun=true` only say what it would do. */
import type { JobRecord } from '../../../shared/queue/records.js';
import { hasClient, JobRequest, Plan } from '../../../shared/schemas/job.js';
import { readJson } from '../body.js';
import type { ApiContext, Route } from '../context.js';
import { IdempotencyHeader, readIdempotencyKey } from '../idempotency.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { CreateQuery, JobAccepted, locationOf } from '../schemas.js';
import { checkStorage } from '../storage-check.js';
import { validate } from '../validate.js';
import { hasEnded } from '../versioned.js';
import { clientOf, jobAccepted, jobLinks } from '../view.js';

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
    const client = hasClient(job) ? await waitForOffer(context, created.id) : null;
    const accepted = client === null ? jobAccepted(created) : { ...jobAccepted(client), ...clientOf(client) };
    response.status(202).location(jobLinks(created.id).self).json(accepted);
  },
};

/** How long the answer waits for a node to take a job whose client wants to begin. */
const OFFER_PATIENCE_MS = 10_000;

/** @returns the job when its client can begin, or as it is when that takes too long or the job has ended */
async function waitForOffer({ jobs, closing }: ApiContext, id: string): Promise<JobRecord | null> {
  const deadline = Date.now() + OFFER_PATIENCE_MS;
  let record = await jobs.get(id);
  while (record !== null && record.offer === null && !hasEnded(record) && !closing.aborted) {
    const leftMs = deadline - Date.now();
    if (leftMs <= 0) break;
    record = await jobs.waitForChange(id, record.version, leftMs, closing);
  }
  return record;
}
