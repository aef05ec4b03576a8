/**
 * Real file systems for tests, each freshly made in a sparse image file and mounted. Needs root.
 * `await using fs = await mountFileSystem('xfs');` then work in `fs.path`.
 * Sizes are bytes.
 */

import { readFileSync } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { type Loan, lend } from './cleanup.js';
import { hasCommand, run, runSync } from './command.js';
import { hasLoopDevices } from './loop.js';
import { type Declare, isRoot, needs } from './needs.js';
import { tempDir } from './temp.js';

const MiB = 1024 * 1024;

/** How each is made, and the smallest size that its mkfs accepts without complaint. */
const KINDS = {
  ext4: { mkfs: ['mkfs.ext4', '-q', '-F'], size: 64 * MiB },
  // No fallocate, no unwritten extents: what is zeroed here is zeroed by writing, or by punching holes.
  ext2: { mkfs: ['mkfs.ext2', '-q', '-F'], size: 64 * MiB },
  xfs: { mkfs: ['mkfs.xfs', '-q', '-f'], size: 320 * MiB },
  btrfs: { mkfs: ['mkfs.btrfs', '-q', '-f'], size: 256 * MiB },
  tmpfs: { mkfs: null, size: 64 * MiB },
} as const satisfies Record<string, { mkfs: readonly string[] | null; size: number }>;

export type FileSystemType = keyof typeof KINDS;
export const FILE_SYSTEM_TYPES = Object.keys(KINDS) as FileSystemType[];

export interface MountedFileSystem extends Loan {
  readonly type: FileSystemType;
  /** The mount point. */
  readonly path: string;
}

/** Declares a test that uses a mounted file system of that type. */
export function needsFileSystem(type: FileSystemType): Declare {
  const { mkfs } = KINDS[type];
  if (!isRoot) return needs(false, 'root');
  if (mkfs !== null && !hasLoopDevices) return needs(false, 'a free loop device');
  if (mkfs !== null && !hasCommand(mkfs[0])) return needs(false, mkfs[0]);
  return needs(kernelKnows(type), `${type} in the kernel`);
}

/**
 * @param size     of the whole file system, its own metadata included; default and least: what its mkfs needs
 * @param options  mount options, such as `discard`
 */
export async function mountFileSystem(
  type: FileSystemType,
  size: number = KINDS[type].size,
  options: readonly string[] = [],
): Promise<MountedFileSystem> {
  const { mkfs } = KINDS[type];
  const directory = await tempDir();
  const path = directory.join('mnt');
  await mkdir(path);
  if (mkfs === null) {
    await run('mount', ['-t', type, '-o', [`size=${size}`, ...options].join(','), type, path]);
  } else {
    const image = directory.join(`${type}.img`);
    await using file = await open(image, 'wx');
    await file.truncate(size);
    const [program, ...args] = mkfs;
    await run(program, [...args, image]);
    // mount sets the loop device up, and the kernel takes it down with the mount.
    await run('mount', ['-t', type, '-o', ['loop', ...options].join(','), image, path]);
  }
  const loan = lend(`${type} on ${path}`, () => unmount(path));
  const release = async () => {
    await loan.release();
    await directory.release();
  };
  return { type, path, release, [Symbol.asyncDispose]: release };
}

function unmount(path: string): void {
  const mounted = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[1] === path);
  if (mounted) runSync('umount', [path]);
}

function kernelKnows(type: FileSystemType): boolean {
  const listed = () => readFileSync('/proc/filesystems', 'utf8').split(/\s+/).includes(type);
  if (listed()) return true;
  try {
    runSync('modprobe', [type]);
  } catch {
    return false;
  }
  return listed();
}
