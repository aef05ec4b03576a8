/**
 * Where targets lie. A file system of our own lives in a sparse file, so that a device of 1 TiB costs what is written
 * into it: mounted through a loop device past the page cache. It is not mounted with `discard`, or what a program frees
 * would be given back, and allocated again, while that program is timed; `trim` does it between runs. ext4 is the scratch
 * directory itself where that is ext4 and the target fits.
 */
import { mkdir, open, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../../scripts/demo/children.js';
import { GiB } from '../../shared/units.js';
import { type Stage, uninterrupted } from './stage.js';

export type FileSystem = 'ext4' | 'xfs' | 'btrfs' | 'tmpfs';

/** How each is made: without writing what nobody reads, and without work that goes on in the background. */
const MKFS: Readonly<Record<Exclude<FileSystem, 'tmpfs'>, { command: readonly string[]; options: string }>> = {
  ext4: {
    command: [
      ...['mkfs.ext4', '-q', '-F', '-m', '0', '-T', 'largefile4', '-J', 'size=256'],
      ...['-E', 'lazy_itable_init=1,lazy_journal_init=1,nodiscard'],
    ],
    options: 'noinit_itable,noatime',
  },
  xfs: { command: ['mkfs.xfs', '-q', '-f', '-K', '-m', 'reflink=1', '-l', 'size=128m'], options: 'noatime' },
  btrfs: { command: ['mkfs.btrfs', '-q', '-f', '-K'], options: 'noatime' },
};

/** Given back only then: it takes a moment. */
const TRIM_ABOVE = 12 * GiB;

export interface Home {
  readonly path: string;
  /** Gives free space back to what the file system lies in, when that has grown large. */
  trim(): Promise<void>;
}

/** @returns a directory on a file system of that type with room for `size`; unmounted by `stage.cleanup` */
export async function makeFileSystem(type: FileSystem, size: number, stage: Stage): Promise<Home> {
  const { directory, cleanup, signal } = stage;
  const path = join(directory, `fs-${type}`);
  const image = `${path}.img`;
  await mkdir(path);
  cleanup.add(image, async () => {
    await rmdir(path);
    await rm(image, { force: true });
  });
  if (type === 'tmpfs') {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path], { signal });
  } else {
    const file = await open(image, 'wx');
    await file.truncate(size + 2 * GiB);
    await file.close();
    const { command, options } = MKFS[type];
    const [program, ...args] = command;
    await run(program as string, [...args, image], { signal });
    const device = await attachLoop(image, stage);
    await run('mount', ['-t', type, '-o', options, device, path], { signal });
  }
  cleanup.add(`mount of ${path}`, async () => {
    await run('umount', [path], { signal: uninterrupted() });
  });
  return {
    path,
    async trim() {
      if (type === 'tmpfs' || (await stat(image)).blocks * 512 < TRIM_ABOVE) return;
      await run('fstrim', [path], { signal });
    },
  };
}

/** Whether the directory itself is on ext4. */
export async function isExt4(directory: string, signal: AbortSignal): Promise<boolean> {
  const { stdout } = await run('findmnt', ['--noheadings', '--output', 'FSTYPE', '--target', directory], { signal });
  return stdout.trim() === 'ext4';
}

/** @returns the device over `backing`, past the page cache of its file; detached by `stage.cleanup` */
export async function attachLoop(backing: string, { cleanup, signal }: Stage): Promise<string> {
  const { stdout } = await run('losetup', ['--find', '--show', '--direct-io=on', backing], { signal });
  const device = stdout.trim();
  cleanup.add(`loop device ${device}`, async () => {
    await run('losetup', ['--detach', device], { signal: uninterrupted() });
  });
  return device;
}
