/**
 * Is the target what the source is, byte for byte? Where either holds data both are read and compared; where both are
 * holes both read as zeroes, and nothing is read. The target is read past the page cache: what counts is what the
 * storage has. The source is read through it, and so is warm for whoever runs next.
 */
import { constants, type FileHandle, open, stat } from 'node:fs/promises';
import { unpack } from '../../shared/ranges.js';
import { alignUp, end, MiB, type Range } from '../../shared/units.js';
import { loadNative } from '../../workers/native/index.js';
import { dataExtents } from '../../workers/storage/extents.js';
import { BLOCK } from './layout.js';
import { alignedBuffer, openDirect } from './markers.js';

const PIECE = 4 * MiB;
/** Reads in flight: thousands of small segments are read quickly only together. */
const LANES = 8;

/**
 * @param source  null: the target must be all zeroes
 * @param target  a file; of a loop device the file under it
 * @param size    of the image
 * @returns the first difference found, in words; null when there is none
 */
export async function findDifference(
  source: string | null,
  target: string,
  size: number,
  signal: AbortSignal,
): Promise<string | null> {
  const { size: targetSize } = await stat(target);
  if (targetSize !== size) return `it is ${targetSize} bytes long, not ${size}`;
  const from = source === null ? null : await open(source);
  const to = await openDirect(target, constants.O_RDONLY);
  const dataIn = ({ fd }: FileHandle, path: string) => unpack(dataExtents(loadNative(), { fd, path }, size));
  try {
    const pieces = cut(unite([...(from === null ? [] : dataIn(from, source as string)), ...dataIn(to, target)]));
    let difference: string | null = null;
    const work = pieces.values();
    const lane = async () => {
      const [expected, found] = [alignedBuffer(PIECE), alignedBuffer(PIECE)];
      for (const piece of work) {
        if (difference !== null) return;
        signal.throwIfAborted();
        const [theirs, ours] = await Promise.all([
          from === null
            ? zeroes(expected, Math.min(piece.length, size - piece.start))
            : readPiece(from, expected, piece),
          readPiece(to, found, piece),
        ]);
        difference ??= compare(theirs, ours, piece);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    return difference;
  } finally {
    await from?.close();
    await to.close();
  }
}

/** The blocks at `places`, read as a program would, through the page cache. @returns as `findDifference` */
export async function findStale(target: string, places: readonly number[]): Promise<string | null> {
  const file = await open(target);
  try {
    const block = Buffer.alloc(BLOCK);
    for (const start of places) {
      await file.read(block, 0, BLOCK, start);
      if (!loadNative().isZero(block, 0, BLOCK)) return `the page cache holds stale bytes at ${start}`;
    }
    return null;
  } finally {
    await file.close();
  }
}

/** Sorted, on whole blocks, those that touch made one. */
function unite(ranges: readonly Range[]): Range[] {
  const united: { start: number; length: number }[] = [];
  for (const range of ranges.toSorted((a, b) => a.start - b.start)) {
    const start = range.start - (range.start % BLOCK);
    const stop = alignUp(end(range), BLOCK);
    const last = united.at(-1);
    if (last !== undefined && start <= end(last)) last.length = Math.max(end(last), stop) - last.start;
    else united.push({ start, length: stop - start });
  }
  return united;
}

function cut(ranges: readonly Range[]): Range[] {
  return ranges.flatMap(({ start, length }) =>
    Array.from({ length: Math.ceil(length / PIECE) }, (_, i) => ({
      start: start + i * PIECE,
      length: Math.min(PIECE, length - i * PIECE),
    })),
  );
}

/** @returns what there is: less than asked for at the end of the file */
async function readPiece(file: FileHandle, buffer: Buffer, { start, length }: Range): Promise<Buffer> {
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(buffer, done, length - done, start + done);
    if (bytesRead === 0) break;
    done += bytesRead;
    // Past an end that is no whole block direct I/O cannot be asked again.
    if (bytesRead % BLOCK !== 0) break;
  }
  return buffer.subarray(0, done);
}

function compare(expected: Buffer, found: Buffer, { start }: Range): string | null {
  if (expected.equals(found)) return null;
  const most = Math.min(expected.length, found.length);
  for (let i = 0; i < most; i += 1) {
    if (expected[i] !== found[i]) return `byte ${start + i} is ${found[i]}, not ${expected[i]}`;
  }
  return `it ends at ${start + most}`;
}

function zeroes(buffer: Buffer, length: number): Buffer {
  return buffer.subarray(0, length).fill(0);
}
