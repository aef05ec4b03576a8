/** Reads an image into a file: its data in parts, over several connections; what is zero stays a hole. */
import { end, MiB, type Range } from '../../../shared/units.js';
import { BufferPool, view } from '../../../workers/buffers.js';
import { loadNative } from '../../../workers/native/index.js';
import type { Workers } from '../../../workers/pool.js';
import type { TargetHandle } from '../../../workers/storage/handle.js';
import { type ImageAddress, ImageConnection, type ImageExtent } from './connection.js';

const PART = 4 * MiB;

export interface Fetching {
  readonly workers: Workers;
  readonly target: TargetHandle;
  readonly extents: readonly ImageExtent[];
  readonly address: ImageAddress;
  readonly connections: number;
  readonly control: SharedArrayBuffer;
  readonly onDone: (length: number) => void;
}

/** @throws FerryError TICKET_REFUSED, NODE_UNAVAILABLE, STORAGE_*; all connections are closed then */
export async function fetchImage(fetching: Fetching): Promise<void> {
  const { workers, target, extents, control } = fetching;
  const work = extents.flatMap(parts);
  const connections = Math.max(1, Math.min(fetching.connections, work.length));
  const buffers = new BufferPool(PART, connections);
  let next = 0;
  let failed = false;
  const receive = async () => {
    const connection = new ImageConnection(fetching.address);
    try {
      for (let item = work[next]; item !== undefined && !failed; item = work[next]) {
        next += 1;
        const { start, length, zero } = item;
        if (zero) {
          const range = { start, length };
          if (!target.readsZero) await workers.run('zeroImage', { target, range, allocation: 'sparse', control });
        } else {
          const buffer = await buffers.acquire();
          try {
            const bytes = view(buffer).subarray(0, length);
            await connection.get(start, bytes);
            // A server may call data what only reads as zeroes.
            const isHole = target.readsZero && loadNative().isZero(bytes, 0, length);
            if (!isHole)
              await workers.run('writeImage', { target, buffer, offset: 0, length, position: start, control });
          } finally {
            buffers.release(buffer);
          }
        }
        fetching.onDone(length);
      }
    } catch (thrown) {
      failed = true;
      throw thrown;
    } finally {
      connection.close();
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: connections }, receive));
  for (const one of ended) if (one.status === 'rejected') throw one.reason;
  await workers.run('flush', { target });
}

function parts(extent: ImageExtent): (Range & { readonly zero: boolean })[] {
  if (extent.zero) return [extent];
  const cut: (Range & { readonly zero: boolean })[] = [];
  for (let start = extent.start; start < end(extent); ) {
    const stop = Math.min(end(extent), (Math.floor(start / PART) + 1) * PART);
    cut.push({ start, length: stop - start, zero: false });
    start = stop;
  }
  return cut;
}
