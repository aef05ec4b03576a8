/**
 * GET /v1/jobs/{id}/events: the job as Server-Sent Events, until it has ended.
 * `state` carries the whole job: at once, and when its state or attempt changes. `progress` carries what moves
 * while it runs. Each event is the job as it is when it is sent: several changes may come as one event.
 */
import { createSession, type Session } from 'better-sse';
import type { Response } from 'express';
import { z } from 'zod';
import { FerryError } from '../../../shared/errors.js';
import type { JobRecord } from '../../../shared/queue/records.js';
import { type ApiContext, type Route, whileWanted } from '../context.js';
import { problems } from '../openapi.js';
import { readQuery } from '../query.js';
import { JobPath, NoQuery } from '../schemas.js';
import { hasEnded, jobView } from '../view.js';
import { jobIdOf, jobNotFound } from './job-id.js';

const RECONNECT_MS = 2000;
// A client that does not read must not fill our memory: it misses progress, then it is let go.
const SKIP_PROGRESS_BYTES = 256 * 1024;
const LET_GO_BYTES = 4 * 1024 * 1024;
// A change that was published wakes us at once; this only bounds what a lost one could cost.
const LOOK_AGAIN_MS = 30_000;
// How long a client may take to read the end of its stream.
const LAST_WORDS_MS = 30_000;

export const jobEvents: Route = {
  method: 'get',
  path: '/v1/jobs/{id}/events',
  operation: {
    operationId: 'watchJob',
    summary: 'Follow a job',
    description:
      'Server-Sent Events: `state` (data: the job) at once and when its state or attempt changes; `progress` ' +
      '(data: id, state, phase, progress) while it runs. Ends after the final `state`. A client that reconnects ' +
      'after that gets 204, which tells EventSource to stop.',
    requestParams: {
      path: JobPath,
      header: z.object({ 'Last-Event-ID': z.string().optional().meta({ description: 'id of the last event seen' }) }),
    },
    responses: {
      200: { description: 'the events', content: { 'text/event-stream': { schema: { type: 'string' } } } },
      204: { description: 'the job has ended and the final event was seen' },
      ...problems('BAD_REQUEST', 'JOB_NOT_FOUND', 'NOT_ACCEPTABLE', 'QUEUE_UNAVAILABLE'),
    },
  },
  async handle(context, request, response) {
    const id = jobIdOf(request);
    readQuery(NoQuery, request);
    if (!request.accepts('text/event-stream')) {
      throw new FerryError('NOT_ACCEPTABLE', 'Accept: must allow text/event-stream');
    }
    const record = await context.jobs.get(id);
    if (record === null) throw jobNotFound(id);
    if (hasEnded(record) && request.headers['last-event-id'] === String(record.version)) {
      response.status(204).end();
      return;
    }
    if (request.method === 'HEAD') {
      response.type('text/event-stream').end();
      return;
    }
    // Our own heartbeat: that of better-sse goes on until the client is gone, and its write after the end of a
    // stream that a stalled client has not read yet would be an uncaught error.
    const session = await createSession(request, response, { keepAlive: null, retry: RECONNECT_MS });
    const heartbeat = setInterval(() => response.write(':\n\n'), context.heartbeatMs);
    try {
      await follow(context, session, response, record);
    } finally {
      clearInterval(heartbeat);
    }
    response.end();
    const stalled = setTimeout(() => response.destroy(), LAST_WORDS_MS);
    response.once('close', () => clearTimeout(stalled));
  },
};

async function follow(context: ApiContext, session: Session, response: Response, first: JobRecord): Promise<void> {
  const wanted = whileWanted(context, response);
  try {
    let shown = first;
    // A client that is gone already cannot be pushed to.
    if (!session.isConnected) return;
    session.push(jobView(first), 'state', String(first.version));
    while (!hasEnded(shown) && !wanted.signal.aborted) {
      const now = await context.jobs.waitForChange(shown.id, shown.version, LOOK_AGAIN_MS, wanted.signal);
      // Trimmed meanwhile: nothing more will happen.
      if (now === null || !session.isConnected) return;
      if (now.version !== shown.version) push(session, response, shown, now);
      shown = now;
    }
  } finally {
    wanted.release();
  }
}

function push(session: Session, response: Response, before: JobRecord, now: JobRecord): void {
  if (response.writableLength > LET_GO_BYTES) {
    response.destroy();
    return;
  }
  const version = String(now.version);
  if (now.state !== before.state || now.attempt !== before.attempt) session.push(jobView(now), 'state', version);
  else if (response.writableLength < SKIP_PROGRESS_BYTES) {
    const { id, state, phase, progress } = now;
    session.push({ id, state, phase, progress }, 'progress', version);
  }
}
