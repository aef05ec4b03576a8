/** Turns what a person typed as a target into what the API wants. */
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { FerryError } from '../../shared/errors.js';
import type { StoredSourceInput, TargetInput } from '../../shared/schemas/job.js';

/** What `--target-type` may say: of a URI there is no doubt. */
export type TargetType = Exclude<TargetInput['type'], 'nbd'>;

export interface TargetFlags {
  readonly targetType?: TargetType;
  readonly size?: number;
}

/**
 * A block device when this machine has one there, or when the path could be nothing else; a file otherwise.
 * The node may be another machine: then `--target-type` says what we cannot see.
 */
export async function targetOf(typed: string, flags: TargetFlags): Promise<TargetInput> {
  if (isNbd(typed)) return { type: 'nbd', uri: typed };
  const path = absolutePath(typed);
  const type = flags.targetType ?? ((await looksLikeDevice(path)) ? 'block' : 'file');
  if (type === 'file') return { type, path, ...(flags.size === undefined ? {} : { size: flags.size }) };
  if (flags.size === undefined) return { type, path };
  throw new FerryError('BAD_REQUEST', `--size is for files; ${path} is a block device, which has its size`);
}

/** A path or an NBD URI. */
export function sourceOf(typed: string): StoredSourceInput {
  return isNbd(typed) ? { type: 'nbd', uri: typed } : { type: 'file', path: absolutePath(typed) };
}

export function isNbd(typed: string): boolean {
  return /^nbd(\+unix)?:\/\//i.test(typed);
}

export function absolutePath(typed: string): string {
  if (isUrl(typed))
    throw new FerryError('BAD_REQUEST', `${typed}: expected a path or an NBD URI; other URLs are not supported yet`);
  return resolve(typed);
}

export function isUrl(typed: string): boolean {
  return /^\w+:\/\//.test(typed);
}

export async function looksLikeDevice(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  return stats === undefined ? path.startsWith('/dev/') : stats.isBlockDevice();
}
