/**
 * Sends an image: its data in parts, over several connections; holes and parts that are all zeroes as zero requests,
 * or not at all where the server knows that what is not sent reads as zeroes.
 */
import { Coverage } from '../../../shared/coverage.js';
import { unpack } from '../../../shared/ranges.js';
import { end, MiB, type Range } from '../../../shared/units.js';
import { BufferPool, view } from '../../../workers/buffers.js';
import { loadNative } from '../../../workers/native/index.js';
import type { Workers } from '../../../workers/pool.js';
import type { SourceHandle } from '../../../workers/storage/handle.js';
import { type ImageAddress, ImageConnection } from './connection.js';

/** Of one request: large enough that its cost does not count, small enough to be sent again. */
const PART = 4 * MiB;

export interface Sending {
  readonly workers: Workers;
  readonly source: SourceHandle;
  /** Packed ranges of the source that hold data. */
  readonly data: Float64Array;
  readonly address: ImageAddress;
  readonly connections: number;
  /** What need not be sent again. */
  readonly settled: Coverage;
  /** False: what is not sent reads as zeroes on the server anyhow. */
  readonly sendZeroes: boolean;
  /** Flush at the end; a job does that itself. */
  readonly flush: boolean;
  /** Nothing more is sent after it is aborted. */
  readonly signal: AbortSignal;
  /** So many bytes of the image more are done. */
  readonly onDone: (length: number) => void;
}

/** @throws FerryError TICKET_REFUSED, NODE_UNAVAILABLE, STORAGE_*, SOURCE_CHANGED; all connections are closed then */
export async function sendImage(sending: Sending): Promise<void> {
  const { source, data, settled, sendZeroes } = sending;
  const wanted = [...unpack(settled.rest(data))].flatMap(parts).map((range) => ({ range, zero: false }));
  const zeroes = sendZeroes
    ? [...unpack(settled.rest(holes(data, source.size)))].map((range) => ({ range, zero: true }))
    : [];
  const work = [...zeroes, ...wanted];
  const connections = Math.max(1, Math.min(sending.connections, work.length));
  const buffers = new BufferPool(PART, connections);
  let next = 0;
  let failed = false;
  const send = async () => {
    const connection = new ImageConnection(sending.address);
    try {
      for (let item = work[next]; item !== undefined && !failed; item = work[next]) {
        sending.signal.throwIfAborted();
        next += 1;
        await sendOne(sending, connection, buffers, item.range, item.zero);
        sending.onDone(item.range.length);
      }
      if (sending.flush && !failed) await connection.flush();
    } catch (thrown) {
      failed = true;
      throw thrown;
    } finally {
      connection.close();
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: connections }, send));
  for (const one of ended) if (one.status === 'rejected') throw one.reason;
}

async function sendOne(
  { workers, source, sendZeroes }: Sending,
  connection: ImageConnection,
  buffers: BufferPool,
  range: Range,
  zero: boolean,
): Promise<void> {
  if (zero) return await connection.zero(range);
  const buffer = await buffers.acquire();
  try {
    const { start, length } = range;
    const count = await workers.run('readImage', { handle: source, buffer, offset: 0, length, position: start });
    const bytes = view(buffer).subarray(0, count);
    if (!loadNative().isZero(bytes, 0, count)) await connection.put(start, bytes);
    else if (sendZeroes) await connection.zero(range);
    if (count < length) await workers.run('checkSource', { source });
  } finally {
    buffers.release(buffer);
  }
}

/** Cut at multiples of the part, so that two connections never meet in one sector. */
function parts(range: Range): Range[] {
  const cut: Range[] = [];
  for (let start = range.start; start < end(range); ) {
    const stop = Math.min(end(range), (Math.floor(start / PART) + 1) * PART);
    cut.push({ start, length: stop - start });
    start = stop;
  }
  return cut;
}

function holes(data: Float64Array, size: number): Float64Array {
  return new Coverage([...data]).rest(Float64Array.of(0, size));
}
