/**
 * A block device in memory that cannot zero by itself: zeroing means writing here, as on many SANs. Needs root.
 * `await using disk = await memoryDisk(64 * MiB);`
 */
import { run } from './command.js';
import { attachLoop, hasLoopDevices, type LoopDevice } from './loop.js';
import { mountFileSystem } from './mounts.js';
import { type Declare, needs } from './needs.js';

export const needsMemoryDisk: Declare = needs(hasLoopDevices, 'root and a free loop device');

export async function memoryDisk(size: number): Promise<LoopDevice> {
  const memory = await mountFileSystem('tmpfs', size + size / 16);
  const device = await attachLoop({ size, backing: `${memory.path}/disk.img` });
  // The kernel learns that the file below refuses to zero when it is asked for the first time.
  await run('blkdiscard', ['-z', device.path]);
  const release = async () => {
    await device.release();
    await memory.release();
  };
  return { ...device, release, [Symbol.asyncDispose]: release };
}
