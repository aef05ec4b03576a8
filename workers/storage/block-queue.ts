/** The limits of a block device's request queue. */
import { fstatSync } from 'node:fs';
import { deviceDirectory, readProperty } from './sysfs.js';

export interface QueueLimits {
  /** 0: the device cannot zero by itself, the kernel writes zeroes. Unknown: null. */
  readonly writeZeroesMaxBytes: number | null;
  readonly discardMaxBytes: number | null;
}

export function queueLimits(fd: number): QueueLimits {
  const device = deviceDirectory(fstatSync(fd).rdev);
  const read = (name: string): number | null => {
    // A partition has the queue of its disk.
    const text = readProperty(device, `queue/${name}`) ?? readProperty(device, `../queue/${name}`);
    return text === null ? null : Number(text);
  };
  return { writeZeroesMaxBytes: read('write_zeroes_max_bytes'), discardMaxBytes: read('discard_max_bytes') };
}
