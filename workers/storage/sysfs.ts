/** What the kernel says of a block device without touching it. */
import { readFileSync } from 'node:fs';

/** Directory of a device, by its number (`st_rdev`). */
export function deviceDirectory(rdev: number): string {
  // Linux packs the numbers of a device as makedev(3) does; ours are below 2^32.
  const major = (rdev >>> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
  return `/sys/dev/block/${major}:${minor}`;
}

/** @returns null where the kernel does not say */
export function readProperty(directory: string, name: string): string | null {
  try {
    return readFileSync(`${directory}/${name}`, 'utf8').trim();
  } catch {
    return null; // Not every device has every property.
  }
}
