/** Loop devices and file systems of the benchmark. What is made is undone by `cleanup`, or earlier by whoever made it. */
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../scripts/demo/children.js';
import type { Cleanup } from '../../scripts/demo/cleanup.js';

export interface Stage {
  /** On ext4. */
  readonly directory: string;
  readonly cleanup: Cleanup;
  readonly signal: AbortSignal;
}

/** Something that is there until it is released. */
export interface Lent {
  readonly path: string;
  release(): Promise<void>;
}

const ALWAYS = new AbortController().signal;

/** Releases once, by whoever comes first: its user or the cleanup. */
export function lend({ cleanup }: Stage, path: string, what: string, undo: () => Promise<void>): Lent {
  let released: Promise<void> | null = null;
  const release = async () => {
    released ??= undo();
    await released;
  };
  cleanup.add(what, release);
  return { path, release };
}

/** A loop device without a page cache of its own below it. Where the file system knows no direct I/O (tmpfs) it has one. */
export async function attachLoop(stage: Stage, backing: string): Promise<Lent> {
  const attach = (direct: string) =>
    run('losetup', ['--find', '--show', `--direct-io=${direct}`, backing], { signal: stage.signal });
  const { stdout } = await attach('on').catch(() => attach('off'));
  const path = stdout.trim();
  return lend(stage, path, `loop device ${path}`, async () => {
    await run('losetup', ['--detach', path], { signal: ALWAYS });
  });
}

/** An empty file of so many bytes. */
export function makeSparse(path: string, size: number): void {
  const fd = openSync(path, 'wx');
  ftruncateSync(fd, size);
  closeSync(fd);
}

/**
 * A file system of its own in a sparse file, so that what is allocated in it costs nothing outside until it is written.
 * @returns where it is mounted
 */
export async function mountNested(stage: Stage, type: 'ext4' | 'xfs', size: number): Promise<Lent> {
  const { directory, signal } = stage;
  const image = join(directory, `${type}.fs`);
  const path = join(directory, `${type}.mnt`);
  makeSparse(image, size);
  const loop = await attachLoop(stage, image);
  const mkfs =
    type === 'ext4'
      ? ['-q', '-F', '-E', 'lazy_itable_init=1,lazy_journal_init=1', '-m', '0']
      : ['-q', '-m', 'reflink=1'];
  await run(`mkfs.${type}`, [...mkfs, loop.path], { signal });
  return await mount(stage, path, ['-t', type, '-o', 'discard', loop.path], async () => {
    await loop.release();
    rmSync(image);
  });
}

export async function mountTmpfs(stage: Stage, size: number): Promise<Lent> {
  const path = join(stage.directory, 'tmpfs.mnt');
  return await mount(stage, path, ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs'], async () => {});
}

async function mount(stage: Stage, path: string, args: string[], after: () => Promise<void>): Promise<Lent> {
  mkdirSync(path, { recursive: true });
  await run('mount', [...args, path], { signal: stage.signal });
  return lend(stage, path, path, async () => {
    await run('umount', [path], { signal: ALWAYS });
    await after();
  });
}
