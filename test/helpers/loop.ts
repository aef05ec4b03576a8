/**
 * Real block devices for tests: a loop device over a sparse file. Needs root.
 * `await using device = await attachLoop({ size: 64 * MiB, sectorSize: 4096 });`
 * Sizes are bytes. A released device is really gone: detaching one that is still open is a failure,
 * because the kernel would keep it (and its lock) until later.
 */
import { existsSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { type Loan, lend } from './cleanup.js';
import { hasCommand, run, runSync } from './command.js';
import { type Declare, isRoot, needs } from './needs.js';
import { tempDir } from './temp.js';

export interface LoopOptions {
  /** Size of the device; a multiple of the sector size. */
  readonly size: number;
  /** Default 512. */
  readonly sectorSize?: 512 | 4096;
  /** The loop driver itself reads and writes its file with O_DIRECT, past the page cache. Default false. */
  readonly directIo?: boolean;
  /** The backing file, on a file system of your choice; made when missing. Default: in a temporary directory. */
  readonly backing?: string;
}

export interface LoopDevice extends Loan {
  /** Such as /dev/loop3. */
  readonly path: string;
  readonly backing: string;
  readonly size: number;
  readonly sectorSize: number;
}

export const hasLoopDevices = isRoot && hasCommand('losetup') && loopDriverAnswers();

/** Declares a test that uses loop devices. */
export const needsLoop: Declare = needs(hasLoopDevices, 'root and a free loop device');

/** @throws Error when no loop device is free, or the asked sector size or direct I/O is refused */
export async function attachLoop(options: LoopOptions): Promise<LoopDevice> {
  const { size, sectorSize = 512, directIo = false } = options;
  if (size % sectorSize !== 0) throw new RangeError(`size must be a multiple of ${sectorSize}; got ${size}`);
  const directory = options.backing === undefined ? await tempDir() : undefined;
  const backing = options.backing ?? (directory as { join(name: string): string }).join('loop.img');
  const file = await open(backing, 'a');
  try {
    await file.truncate(size);
  } finally {
    await file.close();
  }

  const path = await run('losetup', [
    '--find',
    '--show',
    `--sector-size=${sectorSize}`,
    ...(directIo ? ['--direct-io=on'] : []),
    backing,
  ]);
  const loan = lend(`loop device ${path} (${backing})`, () => detach(path, backing));
  const release = async () => {
    await loan.release();
    await directory?.release();
  };
  if (directIo && (await readFile(`/sys/block/${basename(path)}/loop/dio`, 'utf8')).trim() !== '1') {
    await release();
    throw new Error(`${path}: direct I/O was refused for a file in ${dirname(backing)}`);
  }
  return { path, backing, size, sectorSize, release, [Symbol.asyncDispose]: release };
}

function detach(path: string, backing: string): void {
  if (!isAttached(path, backing)) return;
  runSync('losetup', ['--detach', path]);
  if (isAttached(path, backing)) throw new Error(`${path} is still open somewhere`);
}

/** Whether the device still belongs to us: its number may already serve somebody else's file. */
function isAttached(path: string, backing: string): boolean {
  if (!existsSync(`/sys/block/${basename(path)}/loop/backing_file`)) return false;
  return runSync('losetup', ['--noheadings', '--output', 'NAME', '--associated', backing])
    .split('\n')
    .some((name) => name.trim() === path);
}

function loopDriverAnswers(): boolean {
  try {
    runSync('losetup', ['--find']);
    return true;
  } catch {
    return false;
  }
}
