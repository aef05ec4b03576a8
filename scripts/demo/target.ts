/** Where an image goes: a loop device when we are root, a file otherwise. Both lie in the demo's directory. */
import { open, rm, truncate } from 'node:fs/promises';
import { run } from './children.js';
import type { Cleanup } from './cleanup.js';

export interface DemoTarget {
  readonly path: string;
  readonly description: string;
  /** Makes it what it was at first: nothing allocated, nothing of the last copy left. */
  reset(signal: AbortSignal): Promise<void>;
}

/** @param backing  the file that it is, or that the loop device lies over */
export async function makeTarget(
  backing: string,
  size: number,
  cleanup: Cleanup,
  signal: AbortSignal,
): Promise<DemoTarget> {
  const createFile = async () => {
    await rm(backing, { force: true });
    await (await open(backing, 'wx')).close();
    await truncate(backing, size);
  };
  await createFile();
  const loop = process.getuid?.() === 0 ? await attach(backing, cleanup, signal) : null;
  if (loop === null) return { path: backing, description: 'a file', reset: createFile };
  return {
    path: loop,
    description: `the block device ${loop} (loop, over a sparse file)`,
    reset: async () => {
      await run('blkdiscard', [loop], { signal });
      await run('sync', [backing], { signal });
    },
  };
}

/** @returns null where there are no loop devices, as in most containers */
async function attach(backing: string, cleanup: Cleanup, signal: AbortSignal): Promise<string | null> {
  // Past the page cache of the backing file, so that both caches do not hold the same bytes twice.
  for (const direct of ['--direct-io=on', '--direct-io=off']) {
    try {
      const path = (await run('losetup', ['--find', '--show', direct, backing], { signal })).stdout.trim();
      cleanup.add(`loop device ${path}`, async () => {
        await run('losetup', ['--detach', path], { signal: new AbortController().signal });
      });
      return path;
    } catch {
      signal.throwIfAborted();
    }
  }
  return null;
}
