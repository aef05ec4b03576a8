/**
 * One disk that two nodes of one machine see as two machines would: under the same path, but each through a device
 * of its own, so that no lock of the operating system keeps one from writing while the other does.
 * Two loop devices over one file in memory; each node runs in a mount namespace in which the path is its device.
 * Compare with `backing`: the devices have page caches of their own, the file below them has only one.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { lend } from './cleanup.js';
import { hasCommand, run } from './command.js';
import { attachLoop, hasLoopDevices } from './loop.js';
import { mountFileSystem } from './mounts.js';
import { type Declare, needs } from './needs.js';

export interface SharedStorage extends AsyncDisposable {
  /** What every node calls the disk; the only storage root that it needs. */
  readonly path: string;
  readonly backing: string;
  readonly size: number;
  /** Runs a program with a view of its own: `spawn(view[0], [...view.slice(1), program, ...])`. */
  readonly views: readonly [readonly string[], readonly string[]];
}

/** Declares a test that uses shared storage and looks at system calls. */
export const needsSharedStorage: Declare = needs(
  hasLoopDevices && hasCommand('unshare') && hasCommand('strace'),
  'root, free loop devices, unshare and strace',
);

export async function shareStorage(size: number): Promise<SharedStorage> {
  const memory = await mountFileSystem('tmpfs', size + size / 16);
  const backing = `${memory.path}/disk.img`;
  const devices = [await attachLoop({ size, backing }), await attachLoop({ size, backing })] as const;
  // A device refuses to zero by itself only when it is asked; then it counts as one where zeroing writes.
  for (const device of devices) await run('blkdiscard', ['-z', device.path]);
  // Devices are believed below /dev only.
  const directory = `/dev/ferry-test-${process.pid}`;
  const path = `${directory}/disk`;
  mkdirSync(directory);
  const loan = lend(directory, () => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(path, '');
  const view = (device: string) => [
    ...['unshare', '--mount', '--propagation', 'private'],
    ...['sh', '-c', 'mount --bind "$0" "$1" && shift && exec "$@"', device, path],
  ];
  return {
    path,
    backing,
    size,
    views: [view(devices[0].path), view(devices[1].path)],
    async [Symbol.asyncDispose]() {
      await loan.release();
      for (const device of devices) await device.release();
      await memory.release();
    },
  };
}
