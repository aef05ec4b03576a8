/** The proof after each run: a copy is its source, byte for byte. Reads past the page cache, and only where either has data. */
import { closeSync, openSync } from 'node:fs';
import { Coverage } from '../../shared/coverage.js';
import { MiB } from '../../shared/units.js';
import { allocateShared, view } from '../../workers/buffers.js';
import { loadNative, type NativeIo } from '../../workers/native/index.js';
import { dataExtents } from '../../workers/storage/extents.js';
import type { Image } from './images.js';

const CHUNK = 4 * MiB;

/**
 * @param backing  the target, or the file below its loop device: that knows its holes, and a device does not
 * @param size     of the target; behind the image it must be zeroes
 * @returns where the first difference lies; null: there is none
 */
export function firstDifference(image: Image, backing: string, size: number): number | null {
  const io = loadNative();
  const from = openSync(image.path, 'r');
  const to = openSync(backing, 'r');
  const direct = openDirect(io, backing) ?? to;
  try {
    const union = new Coverage();
    union.addAll([...image.data]);
    union.addAll([...dataExtents(io, { fd: to, path: backing }, size)]);
    return compare(io, from, direct, to, union.toPacked(), image, size);
  } finally {
    for (const fd of new Set([from, to, direct])) closeSync(fd);
  }
}

/** A target that must be zeroes all over. */
export function firstNonZero(backing: string, size: number): number | null {
  const io = loadNative();
  const fd = openSync(backing, 'r');
  const direct = openDirect(io, backing) ?? fd;
  try {
    const data = dataExtents(io, { fd, path: backing }, size);
    return compare(io, null, direct, fd, [...data], { path: '', size: 0, data: new Float64Array() }, size);
  } finally {
    for (const open of new Set([fd, direct])) closeSync(open);
  }
}

function openDirect(io: NativeIo, path: string): number | null {
  try {
    return io.open(path, io.constants.O_RDONLY | io.constants.O_DIRECT);
  } catch {
    // tmpfs.
    return null;
  }
}

function compare(
  io: NativeIo,
  from: number | null,
  direct: number,
  buffered: number,
  ranges: readonly number[],
  image: Image,
  size: number,
): number | null {
  const [left, right] = [view(allocateShared(io, CHUNK)), view(allocateShared(io, CHUNK))];
  for (let i = 0; i < ranges.length; i += 2) {
    const [start = 0, length = 0] = ranges.slice(i, i + 2);
    for (let at = start; at < Math.min(start + length, size); at += CHUNK) {
      const part = Math.min(CHUNK, start + length - at, size - at);
      const aligned = at % 4096 === 0 && part % 4096 === 0;
      read(io, aligned ? direct : buffered, right, part, at);
      const known = from === null ? 0 : Math.min(part, Math.max(0, image.size - at));
      if (from !== null && known > 0) read(io, from, left, known, at);
      if (known < part) left.fill(0, known, part);
      if (Buffer.compare(left.subarray(0, part), right.subarray(0, part)) === 0) continue;
      for (let byte = 0; byte < part; byte += 1) if (left[byte] !== right[byte]) return at + byte;
    }
  }
  return null;
}

function read(io: NativeIo, fd: number, buffer: Uint8Array, length: number, position: number): void {
  for (let done = 0; done < length; ) {
    const count = io.pread(fd, buffer, done, length - done, position + done);
    if (count === 0) throw new Error(`the target ends at ${position + done}`);
    done += count;
  }
}
