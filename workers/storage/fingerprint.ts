/**
 * What tells an open source or target, and its content, from what may be found in its place later: by a checkpoint
 * that a job left behind, perhaps on another node, perhaps after a reboot. When in doubt two fingerprints differ:
 * then a job starts again, which is slow and never wrong.
 * Facts: sysfs-block (diskseq, stat), Documentation/admin-guide/iostats.rst, statx(2).
 */
import { fstatSync } from 'node:fs';
import type { Fingerprint } from '../../shared/queue/checkpoint.js';
import type { NativeIo } from '../native/index.js';
import { guard } from './errors.js';
import { type Handle, isTarget } from './handle.js';
import { deviceDirectory, readProperty } from './sysfs.js';

/** Blocks the thread: what others wrote into the page cache of a device counts once it is on the device. */
export function fingerprintOf(io: NativeIo, handle: Handle): Fingerprint {
  if (handle.kind === 'nbd') {
    // Nobody counts what others write through a server: a checkpoint of such a source is of no use.
    return { id: handle.identity.id, name: handle.identity.id, size: handle.size, generation: null };
  }
  const { fd, size, kind } = handle;
  if (kind === 'block') guard(handle.path, 'flush', () => io.fdatasync(fd));
  const stats = fstatSync(fd, { bigint: true });
  if (kind === 'file') {
    // An inode number is used again; the time of birth is not.
    const id = `file:${stats.dev}:${stats.ino}:${stats.birthtimeNs}`;
    return {
      id,
      name: `file:${handle.path}`,
      size,
      // chmod and the like move a file's time of change; on a target that is none of our business.
      generation: `${stats.mtimeNs}:${isTarget(handle) ? '' : stats.ctimeNs}`,
    };
  }
  const device = deviceDirectory(Number(stats.rdev));
  const name = stableName(device) ?? handle.path;
  return { id: identityOf(device, name), name: `block:${name}`, size, generation: writesOf(device) };
}

/** The name that the storage itself gives a device, the same on every node: device-mapper's UUID, a SCSI or NVMe WWID. */
function stableName(device: string): string | null {
  const uuid = readProperty(device, 'dm/uuid');
  if (uuid) return `dm:${uuid}`;
  const wwid = readProperty(device, 'device/wwid') ?? readProperty(device, 'wwid');
  if (wwid) return `wwid:${wwid}`;
  const partition = readProperty(device, 'partition');
  const disk = readProperty(device, '../device/wwid') ?? readProperty(device, '../wwid');
  return partition && disk ? `wwid:${disk}:part${partition}` : null;
}

/** A name such as /dev/loop3 means another device after a reboot, or after it was attached anew (diskseq). */
function identityOf(device: string, name: string): string {
  if (name.startsWith('/')) {
    const sequence = readProperty(device, 'diskseq') ?? readProperty(device, '../diskseq') ?? '';
    return `block:${name}:${bootId()}:${sequence}`;
  }
  return `block:${name}`;
}

/**
 * Sectors written (also by zeroing) and discarded since the device came up, on this machine; null where nobody counts.
 * Not the number of requests: a flush counts as a write of no sectors, and everybody who looks flushes.
 */
function writesOf(device: string): string | null {
  // Without statistics the counters are there and stand still. A partition has the queue of its disk.
  if ((readProperty(device, 'queue/iostats') ?? readProperty(device, '../queue/iostats')) === '0') return null;
  const fields = readProperty(device, 'stat')?.split(/\s+/);
  if (fields === undefined || fields.length < 7) return null;
  return [bootId(), fields[6], fields[13] ?? ''].join(':');
}

function bootId(): string {
  return readProperty('/proc/sys/kernel/random', 'boot_id') ?? '';
}
