/**
 * Verifies a part of a copy: every byte of the target against the source, read past the page cache where
 * possible, and the digests of the source's blocks for the job's checksum.
 * Blocks known to be zero on both sides (holes) are neither read nor hashed again.
 */
import { createHash } from 'node:crypto';
import { FerryError } from '../../shared/errors.js';
import { touches } from '../../shared/ranges.js';
import type { Range } from '../../shared/units.js';
import { view } from '../buffers.js';
import { ControlBlock } from '../control.js';
import type { NativeIo } from '../native/index.js';
import { readSource, readTarget } from '../storage/transfer.js';
import { threadIo } from '../timed-io.js';
import type { ChecksumStep, TaskFunction } from './contracts.js';

export const CHECKSUM_ALGORITHM = 'sha256';

export const checksum: TaskFunction<'checksum'> = (step) => {
  const io = threadIo();
  const control = new ControlBlock(step.control);
  const stop = step.start + step.length;
  const digests: Buffer[] = [];
  for (let start = step.start; start < stop; start += step.blockSize) {
    control.check();
    const length = Math.min(step.blockSize, stop - start);
    const imageLength = Math.max(0, Math.min(length, step.imageSize - start));
    if (imageLength > 0) digests.push(verifyImageBlock(io, step, start, imageLength));
    if (imageLength < length) verifyZero(io, step, start + imageLength, length - imageLength);
    control.add('verified', length);
  }
  return new Uint8Array(Buffer.concat(digests));
};

function verifyImageBlock(io: NativeIo, step: ChecksumStep, start: number, length: number): Buffer {
  if (!touches(step.sourceData, start, start + length)) {
    verifyZero(io, step, start, length);
    return zeroDigest(length);
  }
  const { source, target } = step;
  const { sourceHalf, targetHalf } = halves(step);
  const hash = createHash(CHECKSUM_ALGORITHM);
  for (const piece of pieces(start, length, sourceHalf.length)) {
    if (readSource(io, source, sourceHalf, 0, piece.length, piece.start) < piece.length) {
      throw new FerryError('SOURCE_CHANGED', `${source.path} became shorter while it was verified`, {
        path: source.path,
      });
    }
    const count = readTarget(io, target, targetHalf, 0, piece.length, piece.start);
    const [expected, found] = [sourceHalf.subarray(0, piece.length), targetHalf.subarray(0, count)];
    if (Buffer.compare(expected, found) !== 0) throw differs(step, piece.start + firstDifference(expected, found));
    hash.update(expected);
  }
  return hash.digest();
}

function verifyZero(io: NativeIo, step: ChecksumStep, start: number, length: number): void {
  if (!touches(step.targetData, start, start + length)) return;
  const { targetHalf } = halves(step);
  for (const piece of pieces(start, length, targetHalf.length)) {
    const count = readTarget(io, step.target, targetHalf, 0, piece.length, piece.start);
    if (count < piece.length) throw differs(step, piece.start + count);
    if (!io.isZero(targetHalf, 0, piece.length)) {
      throw differs(step, piece.start + targetHalf.subarray(0, piece.length).findIndex((byte) => byte !== 0));
    }
  }
}

function* pieces(start: number, length: number, most: number): Generator<Range> {
  for (let at = start; at < start + length; at += most) {
    yield { start: at, length: Math.min(most, start + length - at) };
  }
}

function halves(step: ChecksumStep): { sourceHalf: Uint8Array; targetHalf: Uint8Array } {
  const both = view(step.buffer);
  const half = both.length / 2;
  return { sourceHalf: both.subarray(0, half), targetHalf: both.subarray(half) };
}

const zeroDigests = new Map<number, Buffer>();

function zeroDigest(length: number): Buffer {
  let digest = zeroDigests.get(length);
  if (digest === undefined) {
    digest = createHash(CHECKSUM_ALGORITHM).update(Buffer.alloc(length)).digest();
    zeroDigests.set(length, digest);
  }
  return digest;
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i += 1) if (a[i] !== b[i]) return i;
  return shorter;
}

function differs(step: ChecksumStep, position: number): FerryError {
  const message = `${step.target.path} differs from ${step.source.path} at byte ${position}; do not use it`;
  return new FerryError('VERIFY_FAILED', message, { path: step.target.path, position });
}
