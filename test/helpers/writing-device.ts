/**
 * A loop device over a ramfs file, which knows no holes: zeroes have to be written there like data. So a job's
 * bandwidth limits its zeroing too, and a test can meet it half-way. Needs root. The bytes are kept in memory.
 */
import { readFileSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { lend } from './cleanup.js';
import { run, runSync } from './command.js';
import { attachLoop, type LoopDevice } from './loop.js';
import { tempDir } from './temp.js';

/** @throws Error when the kernel finds a way to zero it without writing after all */
export async function attachWritingDevice(size: number): Promise<LoopDevice> {
  const directory = await tempDir();
  const path = directory.join('ramfs');
  await mkdir(path);
  await run('mount', ['-t', 'ramfs', 'ramfs', path]);
  const mount = lend(`ramfs on ${path}`, () => unmount(path));
  const device = await attachLoop({ size, backing: `${path}/loop.img` });
  const release = async () => {
    await device.release();
    await mount.release();
    await directory.release();
  };
  const queue = `/sys/block/${basename(device.path)}/queue/write_zeroes_max_bytes`;
  if ((await readFile(queue, 'utf8')).trim() !== '0') {
    await release();
    throw new Error(`${device.path} zeroes without writing`);
  }
  return { ...device, release, [Symbol.asyncDispose]: release };
}

function unmount(path: string): void {
  const mounted = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[1] === path);
  if (mounted) runSync('umount', [path]);
}
