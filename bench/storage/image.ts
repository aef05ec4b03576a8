/** Makes the images that are copied. Their content is random, or zeroes that take space; it is durable when we return. */
import { open } from 'node:fs/promises';
import { MiB, type Range } from '../../shared/units.js';
import { randomBytes } from './random.js';

const CHUNK = 4 * MiB;

export interface Image {
  readonly path: string;
  readonly size: number;
  /** Where data was written; the rest is a hole. */
  readonly data: readonly Range[];
  /** Where it reads as zeroes: its holes, or all of it. */
  readonly zeroes: readonly Range[];
}

/** Writes `path` of `image`, which is made. @param content  seed of random bytes, or 'zeroes' */
export async function writeImage(image: Image, content: number | 'zeroes', signal: AbortSignal): Promise<void> {
  const zeroes = Buffer.alloc(CHUNK);
  const stream = content === 'zeroes' ? null : randomBytes(content);
  const file = await open(image.path, 'wx');
  try {
    await file.truncate(image.size);
    for (const { start, length } of image.data) {
      signal.throwIfAborted();
      for (let done = 0; done < length; done += CHUNK) {
        const piece = zeroes.subarray(0, Math.min(CHUNK, length - done));
        await file.write(stream === null ? piece : stream.update(piece), 0, piece.length, start + done);
      }
    }
    // Its write-back must not disturb the first to run.
    await file.sync();
  } finally {
    await file.close();
  }
}
