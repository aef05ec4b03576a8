/**
 * Stale bytes: what a former tenant left on a disk. They are written into places of the target that must read as
 * zeroes afterwards, so that a tool which forgets to zero, or assumes a zero target, is found out.
 */
import { constants, type FileHandle, open } from 'node:fs/promises';
import type { Range } from '../../shared/units.js';
import { MEMORY_ALIGNMENT } from '../../workers/buffers.js';
import { loadNative } from '../../workers/native/index.js';
import { BLOCK } from './layout.js';
import { randomNumbers } from './random.js';

const PLACES = 256;

/** @returns offsets of blocks in `ranges`, seeded, ascending; the first and the last block are always among them */
export function chooseMarkers(ranges: readonly Range[], seed: number): number[] {
  const next = randomNumbers(seed);
  const blocks = ranges.map(({ length }) => Math.floor(length / BLOCK));
  const total = blocks.reduce((sum, count) => sum + count, 0);
  if (total === 0) return [];
  const wanted = new Set([0, total - 1]);
  while (wanted.size < Math.min(PLACES, total)) wanted.add(Math.floor(next() * total));
  const places: number[] = [];
  let [hole, before] = [0, 0];
  for (const block of [...wanted].sort((a, b) => a - b)) {
    while (block - before >= (blocks[hole] as number)) before += blocks[hole++] as number;
    places.push((ranges[hole] as Range).start + (block - before) * BLOCK);
  }
  return places;
}

/** Writes a block that is not zero at each place, past the page cache where that goes, and flushes. */
export async function writeMarkers(path: string, places: readonly number[]): Promise<void> {
  const file = await openDirect(path, constants.O_RDWR);
  try {
    const block = alignedBuffer(BLOCK).fill(0xa5);
    for (const place of places) await file.write(block, 0, BLOCK, place);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Opens with O_DIRECT; without where the file system refuses it. */
export async function openDirect(path: string, flags: number): Promise<FileHandle> {
  try {
    return await open(path, flags | constants.O_DIRECT);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EINVAL') throw cause;
    return await open(path, flags);
  }
}

/** Memory that direct I/O takes. */
export function alignedBuffer(length: number): Buffer {
  const memory = Buffer.allocUnsafeSlow(length + MEMORY_ALIGNMENT);
  const offset = loadNative().alignmentOffset(memory, MEMORY_ALIGNMENT);
  return memory.subarray(offset, offset + length);
}
