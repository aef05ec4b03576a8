/** Source images on disk, and keeping them warm: every contestant finds the source in the page cache. */
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { MiB, type Range } from '../../shared/units.js';
import { loadNative } from '../../workers/native/index.js';
import { dataExtents } from '../../workers/storage/extents.js';
import { random } from './segments.js';

export interface Image {
  readonly path: string;
  readonly size: number;
  /** Packed. */
  readonly data: Float64Array;
}

/** @param zeroes  the segments are written, but with zeroes */
export function makeImage(path: string, size: number, segments: Iterable<Range>, zeroes = false): Image {
  const block = zeroes ? Buffer.alloc(16 * MiB) : randomBytes(16 * MiB);
  const next = random(1);
  const fd = openSync(path, 'wx');
  try {
    ftruncateSync(fd, size);
    for (const { start, length } of segments) {
      for (let done = 0; done < length; ) {
        // Not always the same bytes: what lands in the wrong place must be seen.
        const offset = Math.floor(next() * 15 * 256) * 4096;
        const part = Math.min(length - done, block.length - offset);
        writeSync(fd, block, offset, part, start + done);
        done += part;
      }
    }
    fsyncSync(fd);
    return { path, size, data: dataExtents(loadNative(), { fd, path }, size) };
  } finally {
    closeSync(fd);
  }
}

export function* allOf(size: number): Generator<Range> {
  yield { start: 0, length: size };
}

/** Reads all data of an image, so that it is in the page cache. */
export function warm({ path, data }: Image): void {
  const buffer = Buffer.alloc(4 * MiB);
  const fd = openSync(path, 'r');
  try {
    for (let i = 0; i < data.length; i += 2) {
      const [start = 0, length = 0] = data.slice(i, i + 2);
      for (let done = 0; done < length; )
        done += readSync(fd, buffer, 0, Math.min(buffer.length, length - done), start + done);
    }
  } finally {
    closeSync(fd);
  }
}
