/**
 * Opens sources and targets: confined to the storage roots, checked again on what was really opened,
 * locked, measured. Nothing is written before every check has passed.
 * The blocking calls make this worker-thread code.
 */
import { fstatSync, readlinkSync, unlinkSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ErrorCode, FerryError } from '../../shared/errors.js';
import { BLOCKING_LOOK, type ConfinedPath, confinePath } from '../../shared/storage-roots.js';
import { alignDown, formatBytes } from '../../shared/units.js';
import type { NativeIo } from '../native/index.js';
import { queueLimits } from './block-queue.js';
import { probeDirectIo } from './direct-io.js';
import { guard, isNativeError, storageError } from './errors.js';
import { createShared, type FdKind, type FdSource, type FdTarget, FILE_UNIT, type Identity } from './handle.js';

export interface OpenSourceRequest {
  readonly path: string;
  readonly roots: readonly string[];
}

/**
 * Opens a source for reading.
 * @throws FerryError PATH_*, STORAGE_DENIED (see `confinePath`), SOURCE_EMPTY
 * @throws FerryError SOURCE_BUSY  another job writes it; what would be copied is neither its old nor its new state
 */
export async function openSource(io: NativeIo, request: OpenSourceRequest): Promise<FdSource> {
  const found = await confinePath(
    { path: request.path, field: 'source.path', allow: ['file', 'block'], mayCreate: false },
    request.roots,
    BLOCKING_LOOK,
  );
  const kind = existing(found);
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = io.constants;
  // O_NONBLOCK means nothing to a file; a FIFO that took its place meanwhile would block the thread for ever.
  const flags = O_RDONLY | O_NOFOLLOW | (kind === 'file' ? O_NONBLOCK : 0);
  const fd = guard(found.path, 'open', () => io.open(found.path, flags));
  try {
    assertSame(fd, found.path, kind);
    await lockSource(io, fd, found.path);
    const size = sizeOf(io, fd, kind, found.path);
    if (size === 0) throw new FerryError('SOURCE_EMPTY', `${found.path} is empty`, { path: found.path });
    return { kind, path: found.path, fd, size, identity: identify(fd, kind, size) };
  } catch (thrown) {
    io.close(fd);
    throw thrown;
  }
}

export interface OpenTargetRequest {
  readonly type: FdKind;
  readonly path: string;
  readonly roots: readonly string[];
  /** Bytes that must fit. */
  readonly neededBytes: number;
  /** Asked-for size of a file; null: what it has, or what is needed if that is more. */
  readonly fileSize: number | null;
  /** What must not be the target. */
  readonly source: Identity | null;
  /** The client vouches that it reads as zeroes. */
  readonly declaredZero: boolean;
}

/**
 * Opens a target for writing, makes the file when it is missing, takes its lock, sets a file's size.
 * @throws FerryError PATH_*, STORAGE_DENIED (see `confinePath`)
 * @throws FerryError TARGET_BUSY       mounted, claimed, or locked by another job or program
 * @throws FerryError TARGET_TOO_SMALL  before a byte is written
 * @throws FerryError TARGET_IS_SOURCE
 */
export async function openTarget(io: NativeIo, request: OpenTargetRequest): Promise<FdTarget> {
  const found = await confinePath(
    { path: request.path, field: 'target.path', allow: [request.type], mayCreate: request.type === 'file' },
    request.roots,
    BLOCKING_LOOK,
  );
  const created = found.kind === null;
  const fd = created ? createFile(io, found.path) : await openExisting(io, found.path, request.type);
  let directFd: number | null = null;
  let owned = false;
  try {
    // Before locking: our own shared lock on the source would look like somebody else's.
    assertNotSource(identify(fd, request.type, 0), request.source, found.path);
    await lockTarget(io, fd, found.path);
    // After locking: whoever made the file may have removed it again before that.
    assertSame(fd, found.path, request.type);
    owned = true;
    const sizeNow = sizeOf(io, fd, request.type, found.path);
    const identity = identify(fd, request.type, sizeNow);
    const size = settleSize(request, sizeNow, found.path);
    const sectorSize = request.type === 'block' ? guard(found.path, 'ask', () => io.logicalSectorSize(fd)) : FILE_UNIT;
    if (size !== sizeNow) guard(found.path, 'resize', () => io.ftruncate(fd, size));
    const direct = probeDirectIo(io, fd, io.constants.O_RDWR, sectorSize);
    directFd = direct.fd;
    return {
      kind: request.type,
      path: found.path,
      fd,
      directFd,
      directRefusal: direct.refusal,
      size,
      sectorSize,
      zeroWrites: request.type === 'block' && queueLimits(fd).writeZeroesMaxBytes === 0,
      created,
      // A file that we made and somebody filled before we had its lock is not empty any more.
      readsZero: (created && sizeNow === 0) || request.declaredZero,
      identity,
      shared: createShared(),
    };
  } catch (thrown) {
    if (directFd !== null) io.close(directFd);
    // Not a file that somebody else locked since we made it: it would write to a file without a name. Nor one that
    // whoever has our job by now may be writing: on storage that nodes share, our lock may have gone with the lease.
    const lost = thrown instanceof FerryError && thrown.code === 'LEASE_LOST';
    try {
      if (created && owned && !lost) removeCreated(fd, found.path);
    } finally {
      io.close(fd);
    }
    throw storageError(thrown, found.path, 'open');
  }
}

function existing(found: ConfinedPath): FdKind {
  if (found.kind === null) throw new FerryError('PATH_NOT_FOUND', `${found.path} does not exist`, { path: found.path });
  return found.kind;
}

/** Opened through its directory, so that a symlink swapped in after the check leads nowhere. */
function createFile(io: NativeIo, path: string): number {
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = io.constants;
  return guard(path, 'create', () => {
    const directory = openDirectory(io, dirname(path));
    try {
      assertPath(directory, dirname(path));
      // Group-readable like other images would leak a guest's disk; an operator may open it up.
      return io.open(`/proc/self/fd/${directory}/${basename(path)}`, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    } catch (thrown) {
      if (!isNativeError(thrown) || thrown.code !== 'EEXIST') throw thrown;
      throw new FerryError('TARGET_BUSY', `${path} was created by somebody else just now`, { path }, { cause: thrown });
    } finally {
      io.close(directory);
    }
  });
}

function openDirectory(io: NativeIo, path: string): number {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = io.constants;
  try {
    return io.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch (thrown) {
    // It was a directory when it was checked: now it is a symlink, a FIFO or a file.
    if (!isNativeError(thrown) || (thrown.code !== 'ENOTDIR' && thrown.code !== 'ELOOP')) throw thrown;
    throw new FerryError('PATH_FORBIDDEN', `${path} was replaced while it was opened`, { path }, { cause: thrown });
  }
}

/** Opens for writing; a block device is claimed as well. @throws FerryError TARGET_BUSY, STORAGE_* */
export async function openExisting(io: NativeIo, path: string, kind: FdKind): Promise<number> {
  const { O_RDWR, O_NOFOLLOW, O_NONBLOCK, O_EXCL } = io.constants;
  // O_EXCL on a block device: refused while it is mounted or claimed by anyone, us included.
  const flags = O_RDWR | O_NOFOLLOW | (kind === 'block' ? O_EXCL : O_NONBLOCK);
  return await unlessBusy(['EBUSY'], () => guard(path, 'open', () => io.open(path, flags)));
}

/** Takes the exclusive lock of the whole target; it is gone when the descriptor is closed. @throws FerryError TARGET_BUSY */
export async function lockTarget(io: NativeIo, fd: number, path: string): Promise<void> {
  const message = `${path} is locked by another job or program; wait for it to end or choose another target`;
  await unlessBusy(LOCKED, () => lock(io, fd, path, true, 'TARGET_BUSY', message));
}

/** A shared lock: many may read one source, nobody of ours writes it meanwhile. @throws FerryError SOURCE_BUSY */
async function lockSource(io: NativeIo, fd: number, path: string): Promise<void> {
  const message = `${path} is being written by another job or program`;
  try {
    await unlessBusy(LOCKED, () => lock(io, fd, path, false, 'SOURCE_BUSY', message));
  } catch (thrown) {
    // Where there are no locks a source may be read all the same: its size and times are compared at the end.
    if (!isNativeError(thrown) || !['ENOLCK', 'EOPNOTSUPP', 'ENOTSUP', 'EINVAL'].includes(thrown.code)) throw thrown;
  }
}

const LOCKED = ['EAGAIN', 'EACCES'];

function lock(io: NativeIo, fd: number, path: string, exclusive: boolean, code: ErrorCode, message: string): void {
  try {
    io.lockFile(fd, exclusive);
  } catch (thrown) {
    if (!isNativeError(thrown) || !LOCKED.includes(thrown.code)) throw thrown;
    const details = { path, errno: thrown.errno, syscall: thrown.syscall };
    throw new FerryError(code, message, details, { cause: thrown });
  }
}

/** A dry run, udev or a job that has just ended holds on for a moment; whoever holds on longer is a reason to fail. */
const BUSY_PATIENCE_MS = 1000;
const BUSY_PAUSE_MS = 50;

async function unlessBusy<T>(codes: readonly string[], work: () => T): Promise<T> {
  const deadline = performance.now() + BUSY_PATIENCE_MS;
  for (;;) {
    try {
      return work();
    } catch (thrown) {
      const cause = thrown instanceof FerryError ? thrown.cause : thrown;
      const busy = isNativeError(cause) && codes.includes(cause.code);
      if (!busy || performance.now() > deadline) throw thrown;
    }
    await sleep(BUSY_PAUSE_MS);
  }
}

/** The size the target has or will have. @throws FerryError TARGET_TOO_SMALL */
export function settleSize(request: OpenTargetRequest, sizeNow: number, path: string): number {
  const size = request.type === 'block' ? sizeNow : (request.fileSize ?? Math.max(sizeNow, request.neededBytes));
  const field = request.type === 'file' ? 'target.size' : 'target.path';
  if (size === 0 && request.neededBytes === 0) {
    const message = `${path} is empty and no size was given: set target.size`;
    throw new FerryError('TARGET_TOO_SMALL', message, { path, field });
  }
  assertFits(request.neededBytes, size, path, field);
  return size;
}

/** @throws FerryError TARGET_TOO_SMALL */
export function assertFits(neededBytes: number, size: number, path: string, field = 'target.uri'): void {
  if (size >= neededBytes && size > 0) return;
  const message = `${path} has ${size} bytes (${formatBytes(size)}), the image needs ${neededBytes} (${formatBytes(neededBytes)})`;
  throw new FerryError('TARGET_TOO_SMALL', message, { path, field });
}

/** Of a block device: its whole sectors; what lies behind them (an odd loop device has it) nobody can reach. */
export function sizeOf(io: NativeIo, fd: number, kind: FdKind, path: string): number {
  if (kind === 'file') return fstatSync(fd).size;
  return guard(path, 'ask the size of', () => alignDown(io.deviceSize(fd), io.logicalSectorSize(fd)));
}

export function assertNotSource(identity: Identity, source: Identity | null, path: string): void {
  if (identity.id === source?.id) throw isSource(path);
}

export function isSource(path: string): FerryError {
  return new FerryError('TARGET_IS_SOURCE', `${path} is the source itself`, { path });
}

export function identify(fd: number, kind: FdKind, size: number): Identity {
  const stats = fstatSync(fd, { bigint: true });
  if (kind === 'block') return { id: `block:${stats.rdev}`, size, modified: null, changed: null };
  return { id: `file:${stats.dev}:${stats.ino}`, size, modified: `${stats.mtimeNs}`, changed: `${stats.ctimeNs}` };
}

/** What was opened is what was checked: same path, same kind. */
export function assertSame(fd: number, path: string, kind: FdKind): void {
  assertPath(fd, path);
  const stats = fstatSync(fd);
  if (kind === 'block' ? stats.isBlockDevice() : stats.isFile()) return;
  throw new FerryError('PATH_FORBIDDEN', `${path} became something else while it was opened`, { path });
}

function assertPath(fd: number, path: string): void {
  if (readlinkSync(`/proc/self/fd/${fd}`) === path) return;
  throw new FerryError('PATH_FORBIDDEN', `${path} was replaced while it was opened`, { path });
}

function removeCreated(fd: number, path: string): void {
  // Only when the name still is our file.
  if (readlinkSync(`/proc/self/fd/${fd}`) === path) unlinkSync(path);
}
