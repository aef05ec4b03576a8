/** POST /v1/jobs/{id}/pause, /resume and /retry: what somebody asks of one job without saying more. */
import type { JobStore } from '../../../shared/queue/job-store.js';
import type { JobRecord } from '../../../shared/queue/records.js';
import { JobView } from '../../../shared/schemas/job.js';
import { readJson } from '../body.js';
import type { Route } from '../context.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { JobPath, NoBody, NoQuery } from '../schemas.js';
import { validate } from '../validate.js';
import { jobLinks, jobView, logIds } from '../view.js';
import { jobIdOf } from './ids.js';

interface Action {
  readonly verb: 'pause' | 'resume' | 'retry';
  readonly summary: string;
  readonly description?: string;
  /** What the 202 means. */
  readonly accepted: string;
  /** In the log, with the state that came of it. */
  readonly done: string;
  run(jobs: JobStore, id: string): Promise<JobRecord>;
}

function jobAction({ verb, summary, description, accepted, done, run }: Action): Route {
  return {
    method: 'post',
    path: `/v1/jobs/{id}/${verb}`,
    operation: {
      operationId: `${verb}Job`,
      summary,
      ...(description === undefined ? {} : { description }),
      requestParams: { path: JobPath },
      requestBody: { required: false, content: { 'application/json': { schema: NoBody } } },
      responses: {
        202: { description: accepted, content: { 'application/json': { schema: JobView } } },
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
      validate(NoBody, await readJson(request, response, false), 'body');
      const record = await run(jobs, id);
      log.info({ ...logIds(record), state: record.state }, done);
      response.status(202).location(jobLinks(id).self).json(jobView(record));
    },
  };
}

export const pauseJob = jobAction({
  verb: 'pause',
  summary: 'Pause a job',
  description: 'What a running job has done is kept; it goes on from there when it is resumed.',
  accepted: 'paused, or asked to stop: then it becomes `paused` unless it ends first',
  done: 'pause requested',
  run: (jobs, id) => jobs.pause(id),
});

export const resumeJob = jobAction({
  verb: 'resume',
  summary: 'Let a paused job go on',
  accepted: 'queued; or it goes on running, when it had not stopped yet',
  done: 'resumed',
  run: (jobs, id) => jobs.resume(id),
});

export const retryJob = jobAction({
  verb: 'retry',
  summary: 'Queue a failed or canceled job once more',
  accepted: 'queued',
  done: 'retried',
  run: (jobs, id) => jobs.retry(id),
});
