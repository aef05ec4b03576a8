/**
 * Contents: deterministic data, sparse images made of it, and comparing what came out byte for byte.
 * All sizes and positions are bytes. Works on files and block devices alike.
 */
import { createCipheriv } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';

const CHUNK = 1024 * 1024;

/** A run of data in an image; everything between segments is a hole. `seed` default: `start`. */
export interface Segment {
  readonly start: number;
  readonly length: number;
  readonly seed?: number;
}

/** Bytes that look random (no sector of them is zero) and are the same for the same seed. */
export function patternBytes(seed: number, length: number): Buffer {
  const key = Buffer.alloc(16);
  key.writeDoubleLE(seed);
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

/** Makes (or replaces) a sparse file of `size` with data only where a segment says so. */
export async function makeImage(path: string, size: number, segments: readonly Segment[]): Promise<void> {
  await using file = await open(path, 'w');
  await file.truncate(size);
  for (const segment of segments) {
    if (segment.start + segment.length > size) throw new RangeError(`a segment ends behind the image's ${size} bytes`);
    await writeSegment(file, segment);
  }
  // Extents of a delayed allocation are not where SEEK_DATA says until they are on the disk.
  await file.sync();
}

/** Writes one pattern into an existing file or device and makes it durable. */
export async function fill(path: string, segment: Segment): Promise<void> {
  await using file = await open(path, 'r+');
  await writeSegment(file, segment);
  await file.sync();
}

async function writeSegment(file: FileHandle, { start, length, seed = start }: Segment): Promise<void> {
  const key = Buffer.alloc(16);
  key.writeDoubleLE(seed);
  // One cipher over the whole segment, so that its bytes are those of patternBytes(seed, length).
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  for (let done = 0; done < length; done += CHUNK) {
    const data = cipher.update(Buffer.alloc(Math.min(CHUNK, length - done)));
    await writeAll(file, data, start + done);
  }
}

async function writeAll(file: FileHandle, data: Buffer, position: number): Promise<void> {
  for (let done = 0; done < data.length; ) {
    done += (await file.write(data, done, data.length - done, position + done)).bytesWritten;
  }
}

/** Reads exactly [start, start + length), less where the file ends before. */
export async function readRange(path: string, start: number, length: number): Promise<Buffer> {
  await using file = await open(path, 'r');
  return await readAll(file, start, length);
}

async function readAll(file: FileHandle, start: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(buffer, done, length - done, start + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return buffer.subarray(0, done);
}

/**
 * Compares two files or devices. @returns null when equal, else a sentence about the first difference
 * @param length  compare only so many bytes from the start; default: all, and the sizes too
 */
export async function firstDifference(
  pathA: string,
  pathB: string,
  length = Number.POSITIVE_INFINITY,
): Promise<string | null> {
  await using a = await open(pathA, 'r');
  await using b = await open(pathB, 'r');
  for (let position = 0; position < length; position += CHUNK) {
    const wanted = Math.min(CHUNK, length - position);
    const [left, right] = await Promise.all([readAll(a, position, wanted), readAll(b, position, wanted)]);
    const common = Math.min(left.length, right.length);
    if (left.compare(right, 0, common, 0, common) !== 0) {
      let i = 0;
      while (left[i] === right[i]) i++;
      return `byte ${position + i} is ${left[i]} in ${pathA} and ${right[i]} in ${pathB}`;
    }
    if (left.length !== right.length) {
      const shorter = left.length < right.length ? pathA : pathB;
      return `${shorter} ends at byte ${position + common}, the other does not`;
    }
    if (left.length < wanted) break;
  }
  return null;
}

/** @throws Error naming the first byte that differs; see `firstDifference` */
export async function assertSameBytes(pathA: string, pathB: string, length?: number): Promise<void> {
  const difference = await firstDifference(pathA, pathB, length);
  if (difference !== null) throw new Error(difference);
}

/** @throws Error naming the first byte of [start, start + length) that is not zero, or that is not there */
export async function assertZero(path: string, start: number, length: number): Promise<void> {
  await using file = await open(path, 'r');
  const zeroes = Buffer.alloc(Math.min(CHUNK, length));
  for (let position = start; position < start + length; position += CHUNK) {
    const wanted = Math.min(CHUNK, start + length - position);
    const data = await readAll(file, position, wanted);
    if (data.length < wanted) throw new Error(`${path} ends at byte ${position + data.length}`);
    if (data.equals(zeroes.subarray(0, wanted))) continue;
    const at = data.findIndex((byte) => byte !== 0);
    throw new Error(`byte ${position + at} of ${path} is ${data[at]}, not zero`);
  }
}

/** Bytes that a file occupies on its storage, reserved ones included. */
export async function allocatedBytes(path: string): Promise<number> {
  await using file = await open(path, 'r');
  // Delayed allocation counts blocks only once they are on the disk.
  await file.sync();
  return (await file.stat()).blocks * 512;
}
