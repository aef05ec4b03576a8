/**
 * The order in which we try to zero a range, and the memory of what a target refused (design §4).
 * Does not know about jobs, progress or alignment: ranges come in whole sectors, one call a time.
 * `start` and `length` are bytes; a range covers [start, start + length).
 * Facts: fallocate(2), BLKZEROOUT in linux/fs.h, blkdev_fallocate in block/fops.c, our measurements in bench/.
 * TRIM is not here: what a discarded range reads as is anybody's guess.
 */
import { FerryError } from '../../shared/errors.js';
import { end, type Range } from '../../shared/units.js';
import type { Allocation, ZeroMethod } from '../../shared/zero-methods.js';
import type { NativeIo } from '../native/index.js';
import { Capabilities } from './capabilities.js';
import { isNativeError, REFUSALS, storageError } from './errors.js';
import type { FdKind, FdTarget, NbdTarget, StorageKind, TargetHandle } from './handle.js';
import { zeroNbd } from './nbd.js';
import { zeroes } from './scratch.js';
import { writeTarget } from './transfer.js';

interface Rung<T extends TargetHandle = FdTarget> {
  readonly method: ZeroMethod;
  /** Whether the method gives zeroes for this range at all; not whether the storage knows it. */
  readonly fits?: (io: NativeIo, target: T, range: Range) => boolean;
  readonly call: (io: NativeIo, target: T, range: Range) => void;
}

const zeroRangeRung: Rung = {
  method: 'fallocate-zero-range',
  call: (io, target, range) => io.fallocate(target.fd, io.constants.FALLOC_FL_ZERO_RANGE, range.start, range.length),
};

const punchHoleRung: Rung = {
  method: 'fallocate-punch-hole',
  call: punchHole,
};

const punchThenAllocateRung: Rung = {
  method: 'punch-hole-then-allocate',
  call: (io, target, range) => {
    punchHole(io, target, range);
    io.fallocate(target.fd, 0, range.start, range.length);
  },
};

/** Reserves space for what already reads as zeroes: past the end of the file, or all of one known to be zero. */
const allocateRung: Rung = {
  method: 'fallocate-allocate',
  fits: (io, target, range) => target.readsZero || range.start >= io.seekEnd(target.fd),
  call: (io, target, range) => io.fallocate(target.fd, 0, range.start, range.length),
};

/** Growing a file gives zeroes without space. */
const growRung: Rung = {
  method: 'ftruncate-grow',
  fits: (io, target, range) => range.start >= io.seekEnd(target.fd),
  call: (io, target, range) => io.ftruncate(target.fd, end(range)),
};

/** The kernel writes zeroes itself where the device cannot, and drops its page cache of the range. */
const blkZeroOutRung: Rung = {
  method: 'blkzeroout',
  call: (io, target, range) => io.zeroOut(target.fd, range.start, range.length),
};

/** The server keeps the space. */
const nbdNoHoleRung: Rung<NbdTarget> = {
  method: 'nbd-write-zeroes-no-hole',
  fits: (_io, target) => target.canZero,
  call: (io, target, range) => zeroNbd(io, target, range, true),
};

/** The server may give the space back. */
const nbdRung: Rung<NbdTarget> = {
  method: 'nbd-write-zeroes',
  fits: (_io, target) => target.canZero,
  call: (io, target, range) => zeroNbd(io, target, range, false),
};

const writeRung: Rung<TargetHandle> = { method: 'write-zeroes', call: writeZeroes };

const LADDERS = {
  'file-preallocated': [zeroRangeRung, punchThenAllocateRung, allocateRung, writeRung],
  'file-sparse': [growRung, punchHoleRung, writeRung],
  'block-preallocated': [zeroRangeRung, blkZeroOutRung, writeRung],
  'block-sparse': [punchHoleRung, zeroRangeRung, blkZeroOutRung, writeRung],
  'nbd-preallocated': [nbdNoHoleRung, writeRung],
  'nbd-sparse': [nbdRung, writeRung],
} satisfies Readonly<Record<`${FdKind}-${Allocation}`, readonly Rung[]>> &
  Readonly<Record<`nbd-${Allocation}`, readonly Rung<NbdTarget>[]>>;

/** The key says which targets a ladder is for. */
function ladder(kind: StorageKind, allocation: Allocation): readonly Rung<TargetHandle>[] {
  return LADDERS[`${kind}-${allocation}`] as readonly Rung<never>[] as readonly Rung<TargetHandle>[];
}

/** The methods that are still thought to work, best first. */
export function zeroMethods(target: TargetHandle, allocation: Allocation): ZeroMethod[] {
  const capabilities = new Capabilities(target);
  return ladder(target.kind, allocation)
    .filter((rung) => capabilities.allows(rung.method))
    .map((rung) => rung.method);
}

/** Every method of a ladder, refused or not. */
export function ladderMethods(kind: StorageKind, allocation: Allocation): ZeroMethod[] {
  return ladder(kind, allocation).map((rung) => rung.method);
}

/**
 * Zeroes one range by one named method, for probing; remembers nothing.
 * @returns false when the storage refused the method, or it does not fit this range
 * @throws FerryError for any other error of the call
 */
export function tryZeroMethod(
  io: NativeIo,
  target: TargetHandle,
  range: Range,
  allocation: Allocation,
  method: ZeroMethod,
): boolean {
  const rung = ladder(target.kind, allocation).find((candidate) => candidate.method === method);
  if (rung === undefined || rung.fits?.(io, target, range) === false) return false;
  try {
    rung.call(io, target, range);
    return true;
  } catch (thrown) {
    if (isRefusal(thrown, method)) return false;
    throw storageError(thrown, target.path, `zero (${method})`);
  }
}

/**
 * Zeroes one range of an open target with one call, by the best method that it does not refuse.
 * Blocks the thread. Safe to repeat: a retried job may call it again.
 * @param range       bytes, both multiples of `target.sectorSize` (the end may be the end of the target)
 * @param allocation  `sparse`: may give the space back; `preallocated`: the space stays or becomes reserved
 * @returns           the method that worked
 * @throws FerryError ZERO_UNSUPPORTED  even writing zeroes was refused as not supported
 * @throws FerryError STORAGE_FULL, STORAGE_IO and others of `errors.ts`: nothing more was tried
 */
export function zeroRange(io: NativeIo, target: TargetHandle, range: Range, allocation: Allocation): ZeroMethod {
  const capabilities = new Capabilities(target);
  for (const rung of ladder(target.kind, allocation)) {
    if (!capabilities.allows(rung.method) || rung.fits?.(io, target, range) === false) continue;
    try {
      rung.call(io, target, range);
      return rung.method;
    } catch (thrown) {
      if (!isRefusal(thrown, rung.method)) throw storageError(thrown, target.path, `zero (${rung.method})`);
      capabilities.refuse(rung.method);
    }
  }
  throw new FerryError('ZERO_UNSUPPORTED', `${target.path} refused every method to zero a range`, {
    path: target.path,
  });
}

/** EINVAL: some kernels and file systems say "not supported" that way; our ranges are always valid. */
function isRefusal(thrown: unknown, method: ZeroMethod): boolean {
  // Writing zeroes has turned the kernel's error into one of ours already.
  const cause = thrown instanceof FerryError ? thrown.cause : thrown;
  if (!isNativeError(cause)) return false;
  // Nothing refuses writing for being the wrong kind of device: it is gone.
  if (cause.code === 'ENODEV') return method !== 'write-zeroes';
  return REFUSALS.includes(cause.code);
}

function punchHole(io: NativeIo, target: FdTarget, range: Range): void {
  const { FALLOC_FL_PUNCH_HOLE, FALLOC_FL_KEEP_SIZE } = io.constants;
  io.fallocate(target.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, range.start, range.length);
}

function writeZeroes(io: NativeIo, target: TargetHandle, range: Range): void {
  const block = zeroes(io);
  for (let position = range.start; position < end(range); position += block.length) {
    writeTarget(io, target, block, 0, Math.min(block.length, end(range) - position), position);
  }
}
