/**
 * Digests of blocks of an image, one after another. What is known to be a hole is not read: its digest is the same
 * for all blocks of one length. Blocks the thread; hears "stop" between blocks.
 */
import { FerryError } from '../../shared/errors.js';
import { touches } from '../../shared/ranges.js';
import { view } from '../buffers.js';
import { ControlBlock } from '../control.js';
import { type HashMaker, hashMaker } from '../hashes.js';
import { readHandle } from '../storage/transfer.js';
import { threadIo } from '../timed-io.js';
import type { HashBlocks, TaskFunction } from './contracts.js';

const ZEROES = new Uint8Array(64 * 1024);
/** Of zeroes, by algorithm and length: an image has one length of blocks, and a shorter last one. */
const zeroDigests = new Map<string, Uint8Array>();

export const hashBlocks: TaskFunction<'hashBlocks'> = async (step) => {
  const control = new ControlBlock(step.control);
  const make = await hashMaker(step.algorithm);
  const stop = step.start + step.length;
  const digests: Uint8Array[] = [];
  for (let start = step.start; start < stop; start += step.blockSize) {
    control.check();
    const length = Math.min(step.blockSize, stop - start);
    const hasData = touches(step.data, start, start + length);
    digests.push(hasData ? hashBlock(step, make, start, length) : zeroDigest(step.algorithm, make, length));
  }
  return new Uint8Array(Buffer.concat(digests));
};

function hashBlock({ handle, buffer }: HashBlocks, make: HashMaker, start: number, length: number): Uint8Array {
  const io = threadIo();
  const bytes = view(buffer);
  const hash = make();
  for (let done = 0; done < length; done += bytes.length) {
    const part = Math.min(bytes.length, length - done);
    const count = readHandle(io, handle, bytes, 0, part, start + done);
    if (count < part) {
      throw new FerryError('SOURCE_CHANGED', `${handle.path} became shorter while it was read`, { path: handle.path });
    }
    hash.update(bytes.subarray(0, part));
  }
  return hash.digest();
}

function zeroDigest(algorithm: string, make: HashMaker, length: number): Uint8Array {
  const key = `${algorithm} ${length}`;
  let digest = zeroDigests.get(key);
  if (digest === undefined) {
    const hash = make();
    for (let left = length; left > 0; left -= ZEROES.length)
      hash.update(ZEROES.subarray(0, Math.min(left, ZEROES.length)));
    digest = hash.digest();
    zeroDigests.set(key, digest);
  }
  return digest;
}
