/**
 * Sends a range of an image: threads read ahead into a few buffers, which go to the socket in order. What counts as
 * moved is what the socket took, so a client that does not read is not flattered.
 */
import type { ServerResponse } from 'node:http';
import type { Range } from '../../../shared/units.js';
import { type SharedBuffer, view } from '../../../workers/buffers.js';
import type { ImageBuffers } from './image-buffers.js';

export interface BodySource {
  readonly buffers: ImageBuffers;
  /** @returns bytes read, fewer only at the end of the image */
  readonly read: (buffer: SharedBuffer, length: number, position: number) => Promise<number>;
  /** These bytes left for the client. */
  readonly sent: (range: Range) => void;
  /** Aborted when the client is gone. */
  readonly cut: AbortSignal;
  readonly canceling: AbortSignal;
}

/**
 * Writes all of `range` to the response, whose header promised its length; does not end it.
 * @returns false when the client is gone, the ticket was canceled or the image became shorter: the answer cannot be
 *          completed, and the connection must be closed
 * @throws what `read` throws
 */
export async function sendBody(response: ServerResponse, range: Range, source: BodySource): Promise<boolean> {
  const stop = range.start + range.length;
  const ahead: Promise<Read>[] = [];
  let next = range.start;
  let short = false;
  const readNext = async (position: number, buffer: SharedBuffer): Promise<Read> => {
    const length = Math.min(buffer.length, stop - position);
    try {
      return { buffer, position, length, count: await source.read(buffer, length, position) };
    } catch (thrown) {
      source.buffers.release(buffer);
      throw thrown;
    }
  };
  try {
    while ((next < stop || ahead.length > 0) && !short && !source.cut.aborted && !source.canceling.aborted) {
      while (next < stop && (ahead.length === 0 || ahead.length < source.buffers.window)) {
        const buffer = await source.buffers.acquire();
        const reading = readNext(next, buffer);
        reading.catch(() => {});
        ahead.push(reading);
        next += Math.min(buffer.length, stop - next);
      }
      const { buffer, position, length, count } = (await ahead[0]) as Read;
      ahead.shift();
      short = count < length;
      try {
        if (await write(response, view(buffer).subarray(0, count), source)) {
          source.sent({ start: position, length: count });
        }
      } finally {
        source.buffers.release(buffer);
      }
    }
    return next >= stop && ahead.length === 0 && !short && !source.cut.aborted;
  } finally {
    // Threads may still be reading: whoever called closes the image after this.
    for (const reading of await Promise.allSettled(ahead)) {
      if (reading.status === 'fulfilled') source.buffers.release(reading.value.buffer);
    }
  }
}

interface Read {
  readonly buffer: SharedBuffer;
  readonly position: number;
  readonly length: number;
  readonly count: number;
}

/**
 * Resolves when the kernel has taken the bytes, or never will: not before, since it reads them from the buffer.
 * @returns false when the client is gone or nothing more is to be sent
 */
async function write(response: ServerResponse, bytes: Uint8Array, source: BodySource): Promise<boolean> {
  return await new Promise((resolve) => {
    const gone = () => response.destroy();
    const done = (taken: boolean) => {
      for (const signal of [source.cut, source.canceling]) signal.removeEventListener('abort', gone);
      response.off('close', lost);
      resolve(taken);
    };
    const lost = () => done(false);
    for (const signal of [source.cut, source.canceling]) signal.addEventListener('abort', gone);
    response.once('close', lost);
    response.write(bytes, (error) => done(error === null || error === undefined));
  });
}
