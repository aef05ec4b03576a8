/**
 * The checksum of a whole image: the hash of its blocks' digests, which threads compute several at once.
 * The contract is the imageio protocol's; the same checksum verifies what a client has sent.
 */
import { checkAlgorithm, hashMaker } from './hashes.js';
import type { Workers } from './pool.js';
import type { SourceHandle, TargetHandle } from './storage/handle.js';

/** Bytes hashed by one task: several of them keep the threads busy, each is short enough to be stopped. */
const PART = 64 * 1024 * 1024;
const PARTS_AT_ONCE = 4;

export interface ChecksumRequest {
  readonly handle: SourceHandle | TargetHandle;
  /** Bytes of the image, from its beginning. */
  readonly size: number;
  readonly algorithm: string;
  readonly blockSize: number;
  /** Packed ranges that may hold data; all else reads as zeroes. */
  readonly data: Float64Array;
  /** Stops it. */
  readonly control: SharedArrayBuffer;
  /** These bytes are hashed. */
  readonly onHashed?: (length: number) => void;
}

/**
 * @returns hexadecimal
 * @throws FerryError BAD_REQUEST (the algorithm), CANCELED, SOURCE_CHANGED, STORAGE_*
 */
export async function imageChecksum(workers: Workers, request: ChecksumRequest): Promise<string> {
  const { size, algorithm, blockSize, handle, data, control, onHashed } = request;
  checkAlgorithm(algorithm);
  const partLength = Math.max(1, Math.floor(PART / blockSize)) * blockSize;
  const parts = Math.ceil(size / partLength);
  const digests: Uint8Array[] = [];
  let next = 0;
  const work = async () => {
    while (next < parts) {
      const at = next;
      next += 1;
      const start = at * partLength;
      const length = Math.min(partLength, size - start);
      const buffer = await workers.buffers.acquire();
      try {
        const step = { handle, start, length, blockSize, algorithm, data, buffer, control };
        digests[at] = await workers.run('hashBlocks', step);
      } catch (thrown) {
        next = parts;
        throw thrown;
      } finally {
        workers.buffers.release(buffer);
      }
      onHashed?.(length);
    }
  };
  // All of them end before the first failure is told: the image may be closed then.
  const ended = await Promise.allSettled(Array.from({ length: Math.min(PARTS_AT_ONCE, parts) }, work));
  for (const end of ended) if (end.status === 'rejected') throw end.reason;
  const hash = (await hashMaker(algorithm))();
  for (const digest of digests) hash.update(digest);
  return Buffer.from(hash.digest()).toString('hex');
}
