/**
 * Whether an attempt may go on where an earlier one left off. Only when nothing can have changed: the same source
 * with the same content, the same target that no other job has written since, the same geometry. Otherwise the job
 * starts again, from nothing, and says why.
 */
import { createHash } from 'node:crypto';
import type { Checkpoint, Fingerprint } from '../../shared/queue/checkpoint.js';
import type { JobRun } from './job.js';

export interface Found {
  readonly source: Fingerprint | null;
  readonly target: Fingerprint;
  /** Of the target before it was opened, which gives a file its size. */
  readonly targetBytes: number;
  /** See `digest`. */
  readonly layout: string;
  /** No other job of ours has written the target since. */
  readonly untouched: boolean;
}

/** The checkpoint to go on from; null: there is none, or it is of no use any more. */
export function earlierWork({ checkpoint, log }: Pick<JobRun, 'checkpoint' | 'log'>, found: Found): Checkpoint | null {
  if (checkpoint === null) return null;
  const reason = refusal(checkpoint, found);
  if (reason === null) return checkpoint;
  log.warn({ reason }, 'starts again from the beginning');
  return null;
}

/** @returns why the checkpoint is of no use; null: go on from it */
export function refusal(checkpoint: Checkpoint, found: Found): string | null {
  if (checkpoint.version !== 1) return 'the checkpoint is of another version';
  if (!found.untouched) return 'another job has written the target since';
  const source = difference(checkpoint.source, found.source);
  if (source !== null) return `the source ${source}`;
  // Of a device nobody may have counted the writes.
  if (checkpoint.source !== null && checkpoint.source.generation === null) return 'the source may have been written to';
  const target = difference(checkpoint.target, { ...found.target, size: found.targetBytes });
  if (target !== null) return `the target ${target}`;
  if (checkpoint.layout !== found.layout) return 'the extents of the source are not the same';
  return null;
}

function difference(before: Fingerprint | null, now: Fingerprint | null): string | null {
  if (before === null || now === null) return before === now ? null : 'is not the same';
  if (before.id !== now.id) return 'is another one';
  if (before.size !== now.size) return `had ${before.size} bytes and has ${now.size}`;
  // Unknown: our own writes came after it, and nobody can tell those of others from them.
  if (before.generation !== null && before.generation !== now.generation) return 'was written to';
  return null;
}

/** One short text for everything that the ranges of a checkpoint refer to. */
export function digest(...parts: readonly (Float64Array | string | number)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) {
    if (typeof part === 'object') hash.update(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
    else hash.update(`${part}`);
    hash.update('\0');
  }
  return hash.digest('base64url');
}
