/**
 * Exact reads and writes of any range. The aligned middle goes past the page cache where the target
 * allows it; a partial sector at either end is read, changed and written under that sector's lock.
 * Every call blocks its thread. Positions and lengths are bytes.
 */
import { FerryError } from '../../shared/errors.js';
import { alignDown, alignUp } from '../../shared/units.js';
import { MEMORY_ALIGNMENT } from '../buffers.js';
import type { NativeIo } from '../native/index.js';
import { Capabilities } from './capabilities.js';
import { isNativeError, storageError } from './errors.js';
import { type FdTarget, type Handle, isTarget, type SourceHandle, type TargetHandle } from './handle.js';
import { readNbd, writeNbd } from './nbd.js';
import { copyBuffer, sectorBuffer } from './scratch.js';
import { withSectorLock } from './sector-lock.js';

/**
 * Reads until the buffer part is full or the storage ends.
 * @returns bytes read; fewer than `length` only at the end
 * @throws FerryError STORAGE_IO and others of `errors.ts`
 */
export function readSource(
  io: NativeIo,
  from: SourceHandle,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
): number {
  if (from.kind === 'nbd') return readNbd(io, from, buffer, offset, length, position);
  return readFully(io, from, buffer, offset, length, position);
}

/** Reads from whatever is open. */
export function readHandle(
  io: NativeIo,
  handle: Handle,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
): number {
  return isTarget(handle)
    ? readTarget(io, handle, buffer, offset, length, position)
    : readSource(io, handle, buffer, offset, length, position);
}

function readFully(
  io: NativeIo,
  from: { readonly fd: number; readonly path: string },
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
): number {
  let done = 0;
  try {
    while (done < length) {
      const count = io.pread(from.fd, buffer, offset + done, length - done, position + done);
      if (count === 0) break;
      done += count;
    }
  } catch (thrown) {
    throw storageError(thrown, from.path, 'read');
  }
  return done;
}

/** Reads from a target as the storage holds it, past the page cache where that is possible. */
export function readTarget(
  io: NativeIo,
  target: TargetHandle,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
): number {
  if (target.kind === 'nbd') return readNbd(io, target, buffer, offset, length, position);
  const { sectorSize, directFd } = target;
  const aligned = position % sectorSize === 0 && length % sectorSize === 0 && position + length <= target.size;
  const direct = directFd !== null && aligned && memoryFits(io, buffer, offset, sectorSize);
  if (direct && new Capabilities(target).direct) {
    try {
      return readFully(io, { fd: directFd, path: target.path }, buffer, offset, length, position);
    } catch (thrown) {
      if (!refusesDirect(thrown)) throw thrown;
      new Capabilities(target).refuseDirect();
    }
  }
  return readFully(io, target, buffer, offset, length, position);
}

/**
 * Writes buffer[offset, offset + length) at `position`, neighbours untouched.
 * Safe to repeat. Durable only after a flush.
 * @throws FerryError STORAGE_FULL, STORAGE_IO and others of `errors.ts`
 */
export function writeTarget(
  io: NativeIo,
  target: TargetHandle,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
): void {
  const unit = target.sectorSize;
  const stop = position + length;
  const middle = Math.min(alignUp(position, unit), stop);
  const tail = Math.max(alignDown(stop, unit), middle);
  if (middle > position) writeEdge(io, target, buffer, offset, middle - position, position);
  if (tail > middle) writeMiddle(io, target, buffer, offset + (middle - position), tail - middle, middle);
  if (stop > tail) writeEdge(io, target, buffer, offset + (tail - position), stop - tail, tail);
}

/** A part of a buffer and where it goes. */
export interface Part {
  readonly offset: number;
  readonly length: number;
  readonly position: number;
}

/**
 * As `writeTarget`, of many parts of one buffer, which share no sector: together where the storage takes them past the page
 * cache, so that small ones do not wait for each other.
 */
export function writeParts(io: NativeIo, target: TargetHandle, buffer: Uint8Array, parts: readonly Part[]): void {
  const rest = writeTogether(io, target, buffer, parts);
  for (const { offset, length, position } of rest) writeTarget(io, target, buffer, offset, length, position);
}

/** @returns the parts that it did not write */
function writeTogether(
  io: NativeIo,
  target: TargetHandle,
  buffer: Uint8Array,
  parts: readonly Part[],
): readonly Part[] {
  if (parts.length < 2 || target.kind === 'nbd' || target.directFd === null) return parts;
  const capabilities = new Capabilities(target);
  const unit = target.sectorSize;
  if (!capabilities.direct || !memoryFits(io, buffer, 0, unit)) return parts;
  const fits = ({ offset, length, position }: Part) =>
    (offset % Math.min(unit, MEMORY_ALIGNMENT)) + (length % unit) + (position % unit) === 0;
  const together = parts.filter(fits);
  const packed = Float64Array.from(together.flatMap(({ offset, length, position }) => [offset, length, position]));
  let written = 0;
  try {
    while (written < together.length) {
      const count = io.pwriteBatch(target.directFd, buffer, packed.subarray(written * 3));
      if (count === 0) break;
      written += count;
    }
  } catch (thrown) {
    const error = storageError(thrown, target.path, 'write');
    // Written again, each by itself: that finds out what the storage does not take.
    if (!refusesDirect(error)) throw error;
    return parts;
  }
  return [...together.slice(written), ...parts.filter((part) => !fits(part))];
}

function writeMiddle(
  io: NativeIo,
  target: TargetHandle,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
): void {
  if (target.kind === 'nbd') {
    writeNbd(io, target, buffer, offset, length, position);
    return;
  }
  const capabilities = new Capabilities(target);
  if (target.directFd !== null && capabilities.direct) {
    try {
      writeDirect(io, target, target.directFd, buffer, offset, length, position);
      return;
    } catch (thrown) {
      // The probe at opening reads; storage that takes direct reads but no direct writes shows here.
      if (!refusesDirect(thrown)) throw thrown;
      capabilities.refuseDirect();
    }
  }
  writeFully(io, target.fd, target.path, buffer, offset, length, position);
}

/**
 * Memory that does not fit direct I/O is copied into memory that does, not written through the page cache:
 * a page of a device has several sectors, and a cached one that is written back would undo another thread's
 * direct write of its neighbour.
 */
function writeDirect(
  io: NativeIo,
  target: FdTarget,
  directFd: number,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
): void {
  if (memoryFits(io, buffer, offset, target.sectorSize)) {
    writeFully(io, directFd, target.path, buffer, offset, length, position);
    return;
  }
  const fitting = copyBuffer(io);
  for (let done = 0; done < length; done += fitting.length) {
    const part = Math.min(fitting.length, length - done);
    fitting.set(buffer.subarray(offset + done, offset + done + part));
    writeFully(io, directFd, target.path, fitting, 0, part, position + done);
  }
}

/** A part of one sector. */
function writeEdge(
  io: NativeIo,
  target: TargetHandle,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
): void {
  const unit = target.sectorSize;
  const start = alignDown(position, unit);
  withSectorLock(target, start / unit, () => {
    // A buffered write of single bytes is exact in the kernel. A file's last, partial page is always
    // written this way, and never by direct I/O, so the two cannot meet in one page.
    const direct = target.kind !== 'nbd' && target.directFd !== null && new Capabilities(target).direct;
    if (target.kind !== 'nbd' && (!direct || start + unit > target.size)) {
      writeFully(io, target.fd, target.path, buffer, offset, length, position);
      return;
    }
    const sector = sectorBuffer(io).subarray(0, unit);
    const count = readTarget(io, target, sector, 0, unit, start);
    sector.fill(0, count);
    sector.set(buffer.subarray(offset, offset + length), position - start);
    writeMiddle(io, target, sector, 0, unit, start);
  });
}

function writeFully(
  io: NativeIo,
  fd: number,
  path: string,
  buffer: Uint8Array,
  offset: number,
  length: number,
  position: number,
): void {
  let done = 0;
  try {
    while (done < length) {
      const count = io.pwrite(fd, buffer, offset + done, length - done, position + done);
      if (count === 0) throw new FerryError('STORAGE_IO', `The storage took no more bytes of ${path}`, { path });
      done += count;
    }
  } catch (thrown) {
    throw storageError(thrown, path, 'write');
  }
}

function memoryFits(io: NativeIo, buffer: Uint8Array, offset: number, sectorSize: number): boolean {
  const alignment = Math.min(sectorSize, MEMORY_ALIGNMENT);
  return io.alignmentOffset(buffer.subarray(offset), alignment) === 0;
}

function refusesDirect(thrown: unknown): boolean {
  const cause = thrown instanceof FerryError ? thrown.cause : thrown;
  return isNativeError(cause) && cause.code === 'EINVAL';
}
