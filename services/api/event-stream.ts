/**
 * Something of ours as Server-Sent Events until it has ended: what the streams of jobs and of batches share.
 * Each event is the thing as it is when it is sent: several changes may come as one event.
 * A client that does not read must not fill our memory: first it misses what can wait, then it is let go.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { createSession, type Session } from 'better-sse';
import type { Request, Response } from 'express';
import { z } from 'zod';
import type { ZodOpenApiResponsesObject } from 'zod-openapi';
import { FerryError } from '../../shared/errors.js';
import { type ApiContext, whileWanted } from './context.js';
import { hasEnded, type Versioned } from './versioned.js';

export interface StreamEvent {
  readonly name: 'state' | 'progress';
  /** Made only when it is sent. */
  readonly data: () => unknown;
  /** True: a client that is behind misses it; what follows tells it all the same. */
  readonly canWait: boolean;
}

export interface Streamed<T extends Versioned> {
  /** As `JobStore.waitForChange`. */
  next(since: number, timeoutMs: number, signal: AbortSignal): Promise<T | null>;
  /** @param sent  what the last event showed; null: this is the first */
  event(now: T, sent: T | null): StreamEvent;
  /** Least time between two events. */
  readonly paceMs: number;
}

const RECONNECT_MS = 2000;
const BEHIND_BYTES = 256 * 1024;
const LET_GO_BYTES = 4 * 1024 * 1024;
// A change that was published wakes us at once; this only bounds what a lost one could cost.
const LOOK_AGAIN_MS = 30_000;
// How long a client may take to read the end of its stream.
const LAST_WORDS_MS = 30_000;

export const StreamHeaders = z.object({
  'Last-Event-ID': z.string().optional().meta({ description: 'id of the last event seen' }),
});

export function streamResponses(what: string): ZodOpenApiResponsesObject {
  return {
    200: { description: 'the events', content: { 'text/event-stream': { schema: { type: 'string' } } } },
    204: { description: `the ${what} has ended and the final event was seen` },
  };
}

/** @throws FerryError NOT_ACCEPTABLE */
export function refuseOtherThanEvents(request: Request): void {
  if (request.accepts('text/event-stream')) return;
  throw new FerryError('NOT_ACCEPTABLE', 'Accept: must allow text/event-stream');
}

/** Answers the request; resolves when the stream has ended or the client is gone. */
export async function streamEvents<T extends Versioned>(
  context: ApiContext,
  request: Request,
  response: Response,
  first: T,
  streamed: Streamed<T>,
): Promise<void> {
  if (hasEnded(first) && request.headers['last-event-id'] === String(first.version)) {
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
  const wanted = whileWanted(context, response);
  try {
    await follow(session, response, first, streamed, wanted.signal);
  } finally {
    wanted.release();
    clearInterval(heartbeat);
  }
  response.end();
  const stalled = setTimeout(() => response.destroy(), LAST_WORDS_MS);
  response.once('close', () => clearTimeout(stalled));
}

async function follow<T extends Versioned>(
  session: Session,
  response: Response,
  first: T,
  streamed: Streamed<T>,
  signal: AbortSignal,
): Promise<void> {
  let seen = first;
  let sent: T | null = null;
  // A client that is gone already cannot be pushed to.
  while (session.isConnected) {
    if (sent?.version !== seen.version && push(session, response, seen, streamed.event(seen, sent))) sent = seen;
    if (hasEnded(seen) || signal.aborted) return;
    if (streamed.paceMs > 0) await delay(streamed.paceMs, undefined, { signal }).catch(() => {});
    const now = await streamed.next(seen.version, LOOK_AGAIN_MS, signal);
    // Trimmed meanwhile: nothing more will happen.
    if (now === null) return;
    seen = now;
  }
}

/** @returns whether it was sent */
function push(session: Session, response: Response, { version }: Versioned, event: StreamEvent): boolean {
  if (event.canWait && response.writableLength >= BEHIND_BYTES) return false;
  if (response.writableLength > LET_GO_BYTES) {
    response.destroy();
    return false;
  }
  session.push(event.data(), event.name, String(version));
  return true;
}
