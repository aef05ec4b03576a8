/**
 * Which ranges of a source hold data; all between them reads as zeroes.
 * Blocks the thread; one million extents take seconds, so the answer is packed: start, length, start, length, …
 * Source: lseek(2), NBD block status. A block device knows no holes and is one data extent.
 */
import { FerryError } from '../../shared/errors.js';
import type { NativeIo } from '../native/index.js';
import { isNativeError, REFUSALS, storageError } from './errors.js';
import type { NbdAccess } from './handle.js';
import { ALLOCATION_CONTEXT, blockStatus, ZERO } from './nbd.js';

/** A millisecond or so. */
const RANGES_PER_CALL = 1024;

interface FdAccess {
  readonly fd: number;
  readonly path: string;
}

/**
 * @param size   where to stop looking; the source may be longer
 * @param check  called now and then; throws to stop
 * @returns      data ranges in order, packed in pairs
 */
export function dataExtents(
  io: NativeIo,
  source: FdAccess | (NbdAccess & { readonly path: string; readonly size: number }),
  size: number,
  check: () => void = () => {},
): Float64Array {
  if ('connections' in source) {
    const status = blockStatus(io, source, size, ALLOCATION_CONTEXT, check);
    return status === null ? Float64Array.of(0, size) : dataOf(status);
  }
  const found: number[] = [];
  try {
    for (let position = 0; ; ) {
      check();
      const ranges = io.dataRanges(source.fd, position, size, RANGES_PER_CALL);
      for (const value of ranges) found.push(value);
      if (ranges.length < RANGES_PER_CALL * 2) break;
      position = (ranges.at(-2) as number) + (ranges.at(-1) as number);
    }
  } catch (thrown) {
    const code = isNativeError(thrown) ? thrown.code : null;
    // A block device, or a file system that cannot tell: all of it is data.
    if (code !== null && REFUSALS.includes(code)) return Float64Array.of(0, size);
    if (code === 'ENXIO') {
      throw new FerryError('SOURCE_CHANGED', `${source.path} changed while its extents were listed`, {
        path: source.path,
      });
    }
    throw storageError(thrown, source.path, 'list the extents of');
  }
  return Float64Array.from(found);
}

/** Of length, flags, …: the ranges that do not read as zeroes. */
function dataOf(status: Float64Array): Float64Array {
  const pairs: number[] = [];
  let at = 0;
  for (let i = 0; i + 1 < status.length; i += 2) {
    const length = status[i] as number;
    if (((status[i + 1] as number) & ZERO) === 0) {
      if (pairs.length > 0 && (pairs.at(-2) as number) + (pairs.at(-1) as number) === at) {
        pairs[pairs.length - 1] = (pairs.at(-1) as number) + length;
      } else pairs.push(at, length);
    }
    at += length;
  }
  return Float64Array.from(pairs);
}
