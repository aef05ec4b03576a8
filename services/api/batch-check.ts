/**
 * What must be right about a batch before any of it is queued: its paths, as far as they are there, and that no
 * two disks get in each other's way. Reads metadata only.
 * A path where nothing is yet is fine: a wave may be submitted before every image has arrived.
 */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { asFerryError, FerryError, type FieldProblem } from '../../shared/errors.js';
import type { BatchRequest } from '../../shared/schemas/batch.js';
import type { StoredSource, Target } from '../../shared/schemas/job.js';
import { storageName } from '../../shared/storage-name.js';
import type { ApiContext } from './context.js';
import { inParallel } from './in-parallel.js';
import { invalid } from './problem.js';
import { checkPool, confine } from './storage-check.js';

interface Disk {
  /** Such as `vms[3].disks[0]`. */
  readonly field: string;
  readonly source: StoredSource;
  readonly target: Target;
}

/** A disk's paths without symlinks, as far as this machine can tell. */
interface Place {
  readonly field: string;
  readonly source: string;
  readonly target: string;
}

// Enough to hide the latency of a network file system, few enough to leave libuv's threads to others.
const CHECKS_AT_ONCE = 16;
// A batch can name thousands of wrong paths; the first ones say enough.
const MAX_PROBLEMS = 50;

/**
 * @throws FerryError BAD_REQUEST       two disks have one target, or the target of one is the source of another
 * @throws FerryError TARGET_IS_SOURCE  of one disk
 * @throws FerryError POOL_UNKNOWN, PATH_FORBIDDEN, PATH_NOT_SUPPORTED, STORAGE_DENIED  only with `checkStorage`
 *                                      each naming the fields
 */
export async function checkBatch({ config, checkStorage }: ApiContext, batch: BatchRequest): Promise<void> {
  if (checkStorage) checkPool(config, batch.pool);
  const disks = batch.vms.flatMap((vm, v) =>
    vm.disks.map(({ source, target }, d): Disk => ({ field: `vms[${v}].disks[${d}]`, source, target })),
  );
  refuseSharedPaths(checkStorage ? await confineAll(disks, config) : disks.map(asWritten));
}

/** Storage is elsewhere: paths can be compared only as they are written. */
function asWritten({ field, source, target }: Disk): Place {
  return { field, source: written(source), target: written(target) };
}

function written(storage: StoredSource | Target): string {
  const name = storageName(storage);
  return storage.type === 'nbd' ? name : resolve(name);
}

async function confineAll(disks: readonly Disk[], config: ApiContext['config']): Promise<Place[]> {
  const failures: FerryError[] = [];
  const confineOrFail = async (storage: StoredSource | Target, at: string) => {
    const confined = await confine(config, storage, at).catch((thrown) => asFerryError(thrown));
    if (confined instanceof FerryError && confined.code === 'PATH_NOT_FOUND') {
      return storage.type === 'nbd' ? written(storage) : await whereItWillBe(resolve(storage.path));
    }
    return confined;
  };
  const confined = await inParallel(disks, CHECKS_AT_ONCE, async ({ field, source, target }) => ({
    field,
    source: await confineOrFail(source, `${field}.source`),
    target: await confineOrFail(target, `${field}.target`),
  }));
  const places: Place[] = [];
  for (const { field, source, target } of confined) {
    if (source instanceof FerryError) failures.push(source);
    if (target instanceof FerryError) failures.push(target);
    if (typeof source === 'string' && typeof target === 'string') places.push({ field, source, target });
  }
  if (failures.length > 0) throw allOf(failures);
  return places;
}

/** The path without the symlinks of that part of it which exists. */
async function whereItWillBe(path: string): Promise<string> {
  const missing: string[] = [];
  for (let existing = path; existing !== sep; existing = dirname(existing)) {
    const canonical = await realpath(existing).catch(() => undefined);
    if (canonical !== undefined) return join(canonical, ...missing);
    missing.unshift(basename(existing));
  }
  return path;
}

/** One error for all disks with that of the first one: its code is true of every field that it names. */
function allOf(failures: readonly FerryError[]): FerryError {
  const first = failures[0] as FerryError;
  if (first.code === 'INTERNAL') return first;
  const alike = failures.filter(({ code }) => code === first.code).slice(0, MAX_PROBLEMS);
  const errors = alike.map(({ message, details }): FieldProblem => {
    const field = details.field ?? 'vms';
    return { field, message: message.replace(`${field}: `, '') };
  });
  return new FerryError(first.code, alike.map(({ message }) => message).join('; '), { errors });
}

/** @throws FerryError BAD_REQUEST, TARGET_IS_SOURCE */
function refuseSharedPaths(places: readonly Place[]): void {
  const readers = new Map<string, string>();
  for (const { field, source } of places) if (!readers.has(source)) readers.set(source, field);
  const writers = new Map<string, string>();
  const problems: FieldProblem[] = [];
  for (const { field: disk, source, target } of places) {
    const field = `${disk}.target.path`;
    if (source === target) throw new FerryError('TARGET_IS_SOURCE', `${field}: is the source itself`, { field });
    const writer = writers.get(target);
    const reader = readers.get(target);
    if (writer !== undefined) problems.push({ field, message: `is the target of ${writer} too` });
    else if (reader !== undefined) problems.push({ field, message: `is the source of ${reader}` });
    else writers.set(target, disk);
  }
  if (problems.length > 0) throw invalid(problems.slice(0, MAX_PROBLEMS));
}
