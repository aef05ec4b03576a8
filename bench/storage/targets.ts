/**
 * The kinds of storage that are copied onto, how a target of each is made, and how it is brought into the same state
 * before every run, whoever ran before:
 *   preallocated: all of its space is there, data lies where the image has data, and stale bytes where it has none;
 *   sparse: a file of holes with stale bytes in some of them.
 */
import { constants, open, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../scripts/demo/children.js';
import { loadNative } from '../../workers/native/index.js';
import { attachLoop, type FileSystem, type Home, isExt4, makeFileSystem } from './file-systems.js';
import { writeMarkers } from './markers.js';
import type { Stage } from './stage.js';

export interface TargetKind {
  readonly device: boolean;
  readonly on: FileSystem;
  readonly allocation: 'preallocated' | 'sparse';
  /** Zeroing without giving space back means writing here. */
  readonly zeroingWrites?: boolean;
}

export const TARGET_KINDS = {
  'loop-ext4': { device: true, on: 'ext4', allocation: 'preallocated' },
  'loop-tmpfs': { device: true, on: 'tmpfs', allocation: 'preallocated', zeroingWrites: true },
  'file-ext4-preallocated': { device: false, on: 'ext4', allocation: 'preallocated' },
  'file-ext4-sparse': { device: false, on: 'ext4', allocation: 'sparse' },
  'file-xfs-preallocated': { device: false, on: 'xfs', allocation: 'preallocated' },
  'file-xfs-sparse': { device: false, on: 'xfs', allocation: 'sparse' },
  'file-btrfs-sparse': { device: false, on: 'btrfs', allocation: 'sparse' },
} as const satisfies Record<string, TargetKind>;
export type TargetName = keyof typeof TARGET_KINDS;

export function kindOf(name: TargetName): TargetKind {
  return TARGET_KINDS[name];
}

export interface Target {
  /** What a program is given. */
  readonly path: string;
  /** The file that holds its bytes: itself, or the one under the loop device. */
  readonly storage: string;
  readonly size: number;
}

/**
 * @param size   of each
 * @param large  more than there is room for: they must lie in a file system in a sparse file
 * @returns targets, and where they lie
 */
export async function makeTargets(
  name: TargetName,
  { size, count, large }: { readonly size: number; readonly count: number; readonly large: boolean },
  stage: Stage,
): Promise<{ targets: Target[]; home: Home }> {
  const { device, on } = kindOf(name);
  const plain = on === 'ext4' && !large && (await isExt4(stage.directory, stage.signal));
  // Bookkeeping, and a source of its own where blocks are to be shared. XFS wants
  // as much again before it says that space is reserved already.
  const room = Math.ceil(count * size * (on === 'xfs' ? 2.1 : 1.03));
  const home = plain ? { path: stage.directory, trim: async () => {} } : await makeFileSystem(on, room, stage);
  const targets: Target[] = [];
  for (let i = 0; i < count; i += 1) {
    const storage = join(home.path, `target-${i}.img`);
    const file = await open(storage, 'wx');
    await file.truncate(size);
    await file.close();
    stage.cleanup.add(storage, () => rm(storage));
    targets.push({ path: device ? await attachLoop(storage, stage) : storage, storage, size });
  }
  return { targets, home };
}

/** What the target takes of its file system. */
export async function allocatedBytes({ storage }: Target): Promise<number> {
  return (await stat(storage)).blocks * 512;
}

/**
 * @param markers  where stale bytes go
 * @param writeData  writes the image's data into the target; asked for where a program gave space back
 */
export async function resetTarget(
  name: TargetName,
  target: Target,
  markers: readonly number[],
  writeData: () => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { device, allocation } = kindOf(name);
  const { path, storage, size } = target;
  if (allocation === 'sparse') {
    await truncate(storage, 0);
    await truncate(storage, size);
  } else {
    const whole = (await allocatedBytes(target)) >= size;
    // Made anew: what is filled in between would lie elsewhere on the disk than what is made in one piece.
    if (!whole) await truncate(storage, 0);
    await run('fallocate', ['--length', String(size), storage], { signal });
    if (!whole) await writeData();
  }
  if (device) await run('blockdev', ['--flushbufs', path], { signal });
  await writeMarkers(path, markers);
  // What freeing space leaves to the file system's journal is done before anybody is timed.
  await run('sync', ['--file-system', storage], { signal });
  await forget(path);
}

/** Drops what the page cache holds of it. */
async function forget(path: string): Promise<void> {
  const io = loadNative();
  const file = await open(path, constants.O_RDONLY);
  io.fadvise(file.fd, 0, 0, io.constants.POSIX_FADV_DONTNEED);
  await file.close();
}
