/** What the kernel says of a block device without touching it: the limits of its request queue (sysfs). */
import { fstatSync, readFileSync } from 'node:fs';

export interface QueueLimits {
  /** 0: the device cannot zero by itself, the kernel writes zeroes. Unknown: null. */
  readonly writeZeroesMaxBytes: number | null;
  readonly discardMaxBytes: number | null;
}

export function queueLimits(fd: number): QueueLimits {
  const { rdev } = fstatSync(fd);
  // Linux packs the numbers of a device as makedev(3) does; ours are below 2^32.
  const major = (rdev >>> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
  const read = (name: string): number | null =>
    readNumber(`/sys/dev/block/${major}:${minor}/queue/${name}`) ??
    // A partition has the queue of its disk.
    readNumber(`/sys/dev/block/${major}:${minor}/../queue/${name}`);
  return { writeZeroesMaxBytes: read('write_zeroes_max_bytes'), discardMaxBytes: read('discard_max_bytes') };
}

function readNumber(path: string): number | null {
  try {
    return Number(readFileSync(path, 'utf8').trim());
  } catch {
    return null; // No such file: the kernel does not say.
  }
}
