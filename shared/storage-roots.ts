/**
 * Where jobs may go: the storage roots, and the one check that every path passes.
 * A root is a directory (regular files below it are allowed) or a block device (allowed itself).
 * A directory below /dev (such as /dev/vg) allows the block devices that it names: only root can
 * put a name there, so its symlinks to devices are followed. Any other symlink must end inside a root.
 * Does not open anything; whoever opens must check again what it got (`workers/storage/open.ts`).
 */
import { lstatSync, realpathSync, type Stats, statSync } from 'node:fs';
import { lstat, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, normalize, sep } from 'node:path';
import { FerryError } from './errors.js';

export interface PathRequest {
  /** Absolute, as the client wrote it. */
  readonly path: string;
  /** For messages: where in the request the path stands, such as `source.path`. */
  readonly field: string;
  /** What may be there. */
  readonly allow: readonly ('file' | 'block')[];
  /** True: a regular file that is not there yet is fine when its directory is. */
  readonly mayCreate: boolean;
}

export interface ConfinedPath {
  /** Without symlinks. */
  readonly path: string;
  /** null: nothing is there yet. */
  readonly kind: 'file' | 'block' | null;
  /** 0 for a block device. */
  readonly size: number;
}

/** How metadata is read. Failures are those of the file system. */
export interface Look {
  lstat(path: string): Promise<Stats>;
  stat(path: string): Promise<Stats>;
  /** @returns the path without symlinks */
  realpath(path: string): Promise<string>;
}

/** For a thread that may block: several times as quick as asking another one. */
export const BLOCKING_LOOK: Look = {
  lstat: async (path) => lstatSync(path),
  stat: async (path) => statSync(path),
  realpath: async (path) => realpathSync.native(path),
};

const lookups = new Map<string, Promise<string>>();

/** For the event loop, which must not wait for a server of NFS. */
const PATIENT_LOOK: Look = {
  lstat,
  stat,
  /** Who asks for a path while it is looked up gets the same answer: many requests at once name one directory. */
  realpath(path) {
    let lookup = lookups.get(path);
    if (lookup === undefined) {
      lookup = realpath(path).finally(() => lookups.delete(path));
      lookups.set(path, lookup);
    }
    return lookup;
  },
};

/**
 * Resolves a path and checks that it lies within the roots. Reads file metadata only; safe to repeat.
 * @throws FerryError PATH_FORBIDDEN      outside the roots, or there are none
 * @throws FerryError PATH_NOT_FOUND      nothing is there and nothing may be created
 * @throws FerryError PATH_NOT_SUPPORTED  a directory, a FIFO, a socket, a character device, or the other kind of target
 * @throws FerryError STORAGE_DENIED      the operating system refuses to look
 */
export async function confinePath(
  request: PathRequest,
  roots: readonly string[],
  look: Look = PATIENT_LOOK,
): Promise<ConfinedPath> {
  const wanted = normalize(request.path);
  let canonical: string;
  let stats: Stats;
  let isSymlink = false;
  try {
    stats = await look.lstat(wanted);
    isSymlink = stats.isSymbolicLink();
    if (isSymlink || wanted.endsWith(sep)) {
      canonical = await look.realpath(wanted);
      stats = await look.stat(canonical);
    } else {
      canonical = join(await look.realpath(dirname(wanted)), basename(wanted));
    }
  } catch (cause) {
    // Outside the roots nothing is told, not even what exists there.
    const { missing } = await nearestWithin(request, wanted, roots, look);
    if (errnoCode(cause) !== 'ENOENT') throw lookError(request, cause);
    if (isSymlink) {
      // A dangling one: creating through it would write wherever it points.
      const message = `${request.field}: ${request.path} is a symlink to something that is missing`;
      throw new FerryError('PATH_FORBIDDEN', message, { field: request.field, path: request.path });
    }
    return await missing();
  }
  if (!(await withinRoots(canonical, wanted, stats.isBlockDevice(), roots, look))) throw forbidden(request, roots);
  const kind = stats.isFile() ? 'file' : stats.isBlockDevice() ? 'block' : null;
  if (kind === 'file' && (await isOnDevtmpfs(canonical, look))) throw inMemory(request);
  if (kind === null || !request.allow.includes(kind)) {
    const expected = request.allow.map((name) => (name === 'file' ? 'a regular file' : 'a block device')).join(' or ');
    throw new FerryError(
      'PATH_NOT_SUPPORTED',
      `${request.field}: ${request.path} is ${describe(stats)}, not ${expected}`,
      {
        field: request.field,
        path: request.path,
      },
    );
  }
  return { path: canonical, kind, size: stats.size };
}

/** The nearest directory that exists decides whether the client may learn anything about this path. */
async function nearestWithin(
  request: PathRequest,
  wanted: string,
  roots: readonly string[],
  look: Look,
): Promise<{ missing: () => Promise<ConfinedPath> }> {
  let existing = dirname(wanted);
  let canonical: string | undefined;
  for (;;) {
    canonical = await look.realpath(existing).catch(() => undefined);
    if (canonical !== undefined || existing === sep) break;
    existing = dirname(existing);
  }
  const directory = canonical;
  if (directory === undefined || !(await withinRoots(directory, existing, false, roots, look))) {
    throw forbidden(request, roots);
  }
  return { missing: () => confineMissing(request, wanted, directory, existing === dirname(wanted), look) };
}

async function confineMissing(
  request: PathRequest,
  wanted: string,
  directory: string,
  directoryIsParent: boolean,
  look: Look,
): Promise<ConfinedPath> {
  const details = { field: request.field, path: request.path };
  if (request.mayCreate && (await isOnDevtmpfs(directory, look))) throw inMemory(request);
  if (request.mayCreate && directoryIsParent) return { path: join(directory, basename(wanted)), kind: null, size: 0 };
  const what = request.mayCreate ? `the directory ${dirname(wanted)}` : request.path;
  throw new FerryError('PATH_NOT_FOUND', `${request.field}: ${what} does not exist`, details);
}

/** Whether an already resolved path lies within the roots. */
export async function withinRoots(
  canonical: string,
  wanted: string,
  isBlockDevice: boolean,
  roots: readonly string[],
  look: Look = PATIENT_LOOK,
): Promise<boolean> {
  for (const root of roots) {
    const canonicalRoot = await look.realpath(root).catch(() => undefined);
    if (canonicalRoot === undefined) continue;
    if (isBlockDevice) {
      if (canonical === canonicalRoot) return true;
      // Only below /dev may a directory name devices: elsewhere a device node is somebody's trick.
      if (below(canonical, '/dev') && below(`${canonicalRoot}/`, '/dev')) {
        if (below(canonical, canonicalRoot)) return true;
        if (below(wanted, normalize(root)) && (await isTrustedDevDirectory(dirname(wanted), look))) return true;
      }
    } else if (canonical === canonicalRoot || below(canonical, canonicalRoot)) {
      return true;
    }
  }
  return false;
}

/** Whether only root could have put a name there: not so for /dev/shm and /dev/mqueue, which anybody writes to. */
async function isTrustedDevDirectory(path: string, look: Look): Promise<boolean> {
  // A directory reached through a symlink is as good as whoever made the symlink.
  if ((await look.realpath(path).catch(() => undefined)) !== path || !(await isOnDevtmpfs(path, look))) return false;
  for (let directory = path; below(`${directory}/`, '/dev'); directory = dirname(directory)) {
    const stats = await look.lstat(directory).catch(() => undefined);
    if (stats === undefined || stats.uid !== 0 || (stats.mode & 0o022) !== 0) return false;
  }
  return true;
}

/** Whether it lies on the file system of /dev itself; /dev/shm is another one. */
async function isOnDevtmpfs(path: string, look: Look): Promise<boolean> {
  if (!below(`${path}/`, '/dev')) return false;
  const [there, dev] = await Promise.all([look.stat(path), look.stat('/dev')]);
  return there.dev === dev.dev;
}

function inMemory(request: PathRequest): FerryError {
  const message = `${request.field}: ${request.path} is a regular file in /dev, which is memory; is it a misspelt device?`;
  return new FerryError('PATH_NOT_SUPPORTED', message, { field: request.field, path: request.path });
}

function below(path: string, directory: string): boolean {
  return path.startsWith(directory.endsWith(sep) ? directory : directory + sep);
}

function forbidden(request: PathRequest, roots: readonly string[]): FerryError {
  const advice =
    roots.length === 0
      ? 'no storage roots are configured: set FERRY_STORAGE_ROOTS on the node'
      : 'it is outside the storage roots (FERRY_STORAGE_ROOTS)';
  return new FerryError('PATH_FORBIDDEN', `${request.field}: ${request.path} is not allowed: ${advice}`, {
    field: request.field,
    path: request.path,
  });
}

function lookError(request: PathRequest, cause: unknown): FerryError {
  const code = errnoCode(cause);
  const details = { field: request.field, path: request.path };
  if (code === 'ENOTDIR' || code === 'ELOOP' || code === 'ENAMETOOLONG') {
    return new FerryError('PATH_NOT_FOUND', `${request.field}: ${request.path} cannot be resolved (${code})`, details);
  }
  return new FerryError('STORAGE_DENIED', `${request.field}: ${request.path} cannot be looked at (${code})`, details);
}

function errnoCode(thrown: unknown): string | undefined {
  return thrown instanceof Error && 'code' in thrown ? String(thrown.code) : undefined;
}

function describe(stats: Stats): string {
  if (stats.isFile()) return 'a regular file';
  if (stats.isBlockDevice()) return 'a block device';
  if (stats.isDirectory()) return 'a directory';
  if (stats.isFIFO()) return 'a FIFO';
  if (stats.isSocket()) return 'a socket';
  if (stats.isCharacterDevice()) return 'a character device';
  return 'something else';
}
