/**
 * Where jobs may go: the storage roots, and the one check that every path passes.
 * A root is a directory (regular files below it are allowed) or a block device (allowed itself).
 * A directory below /dev (such as /dev/vg) allows the block devices that it names: only root can
 * put a name there, so its symlinks to devices are followed. Any other symlink must end inside a root.
 * Does not open anything; whoever opens must check again what it got (`workers/storage/open.ts`).
 */
import type { Stats } from 'node:fs';
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

/**
 * Resolves a path and checks that it lies within the roots. Reads file metadata only; safe to repeat.
 * @throws FerryError PATH_FORBIDDEN      outside the roots, or there are none
 * @throws FerryError PATH_NOT_FOUND      nothing is there and nothing may be created
 * @throws FerryError PATH_NOT_SUPPORTED  a directory, a FIFO, a socket, a character device, or the other kind of target
 * @throws FerryError STORAGE_DENIED      the operating system refuses to look
 */
export async function confinePath(request: PathRequest, roots: readonly string[]): Promise<ConfinedPath> {
  const wanted = normalize(request.path);
  let canonical: string;
  try {
    canonical = await realpath(wanted);
  } catch (cause) {
    if (errnoCode(cause) !== 'ENOENT') throw lookError(request, cause);
    return await confineMissing(request, wanted, roots);
  }
  const stats = await stat(canonical).catch((cause) => {
    throw lookError(request, cause);
  });
  if (!(await withinRoots(canonical, wanted, stats.isBlockDevice(), roots))) throw forbidden(request, roots);
  const kind = stats.isFile() ? 'file' : stats.isBlockDevice() ? 'block' : null;
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

async function confineMissing(request: PathRequest, wanted: string, roots: readonly string[]): Promise<ConfinedPath> {
  // The nearest directory that exists decides whether the client may learn anything about this path.
  let existing = dirname(wanted);
  let canonical: string | undefined;
  for (;;) {
    canonical = await realpath(existing).catch(() => undefined);
    if (canonical !== undefined || existing === sep) break;
    existing = dirname(existing);
  }
  const there = await lstat(wanted).catch(() => undefined);
  if (canonical === undefined || !(await withinRoots(canonical, existing, false, roots)))
    throw forbidden(request, roots);
  if (there !== undefined) {
    // A dangling symlink: creating through it would write wherever it points.
    throw new FerryError(
      'PATH_FORBIDDEN',
      `${request.field}: ${request.path} is a symlink to something that is missing`,
      {
        field: request.field,
        path: request.path,
      },
    );
  }
  const parentExists = existing === dirname(wanted);
  if (request.mayCreate && parentExists) return { path: join(canonical, basename(wanted)), kind: null, size: 0 };
  const what = request.mayCreate ? `the directory ${dirname(wanted)}` : request.path;
  throw new FerryError('PATH_NOT_FOUND', `${request.field}: ${what} does not exist`, {
    field: request.field,
    path: request.path,
  });
}

/** Whether an already resolved path lies within the roots. */
export async function withinRoots(
  canonical: string,
  wanted: string,
  isBlockDevice: boolean,
  roots: readonly string[],
): Promise<boolean> {
  for (const root of roots) {
    const canonicalRoot = await realpath(root).catch(() => undefined);
    if (canonicalRoot === undefined) continue;
    if (isBlockDevice) {
      if (canonical === canonicalRoot) return true;
      // Only below /dev may a directory name devices: elsewhere a device node is somebody's trick.
      if (below(canonical, '/dev') && below(`${canonicalRoot}/`, '/dev')) {
        if (below(canonical, canonicalRoot) || below(wanted, normalize(root))) return true;
      }
    } else if (canonical === canonicalRoot || below(canonical, canonicalRoot)) {
      return true;
    }
  }
  return false;
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
