/**
 * What jobs and batches have in common: a state, and a version that grows with every change.
 * Reading one waits for its next change where that is asked for, and knows the version that a client has seen.
 */
import type { Request, Response } from 'express';
import { z } from 'zod';
import type { FerryError } from '../../shared/errors.js';
import type { JobState } from '../../shared/schemas/job.js';
import { ENDED_STATES } from '../../shared/states.js';
import { type ApiContext, whileWanted } from './context.js';

export interface Versioned {
  readonly state: JobState;
  readonly version: number;
}

export interface Readable<T extends Versioned> {
  /** As `JobStore.waitForChange`. */
  next(since: number | 'current', timeoutMs: number, signal: AbortSignal): Promise<T | null>;
  view(now: T): unknown;
  missing(): FerryError;
}

export const KnownVersion = z.object({
  'If-None-Match': z.string().optional().meta({ description: 'ETag of an earlier answer' }),
});

export const EtagHeader = z.object({ ETag: z.string().meta({ description: 'names this version' }) });

export function hasEnded({ state }: Versioned): boolean {
  return ENDED_STATES.includes(state);
}

/** Answers the thing as it is, or with `waitSeconds` at its next change: since the version in If-None-Match, or now. */
export async function answerVersion<T extends Versioned>(
  context: ApiContext,
  request: Request,
  response: Response,
  waitSeconds: number,
  readable: Readable<T>,
): Promise<void> {
  const known = knownVersion(request.headers['if-none-match']);
  const wanted = whileWanted(context, response);
  try {
    const now = await readable.next(known ?? 'current', waitSeconds * 1000, wanted.signal);
    if (response.destroyed) return;
    if (now === null) throw readable.missing();
    response.set('ETag', `"${now.version}"`);
    if (now.version === known) response.status(304).end();
    else response.json(readable.view(now));
  } finally {
    wanted.release();
  }
}

function knownVersion(etag: string | undefined): number | undefined {
  const digits = /^(?:W\/)?"(\d{1,15})"$/.exec(etag ?? '')?.[1];
  return digits === undefined ? undefined : Number(digits);
}
