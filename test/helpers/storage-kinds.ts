/**
 * The storage that the matrix runs on: files on five file systems, block devices with two sector sizes.
 * Each kind makes fresh targets of any size, full of 0xff where a former tenant is wanted.
 */
import { open, unlink } from 'node:fs/promises';
import { attachLoop, needsLoop } from './loop.js';
import { FILE_SYSTEM_TYPES, type MountedFileSystem, mountFileSystem, needsFileSystem } from './mounts.js';
import type { Declare } from './needs.js';

const MiB = 1024 * 1024;

export interface StorageTarget extends AsyncDisposable {
  readonly type: 'file' | 'block';
  readonly path: string;
  /** The storage root that allows it. */
  readonly root: string;
  /** Of a device, or of a file that is there already; 0 when the file is yet to be made. */
  readonly size: number;
  /** The file whose allocation counts: itself, or the one behind the device. */
  readonly backing: string;
}

export interface StorageKind {
  readonly name: string;
  readonly type: 'file' | 'block';
  readonly declare: Declare;
  /** Call before the first target, and the answer's dispose after the last. */
  prepare(): Promise<PreparedStorage>;
}

export interface PreparedStorage extends AsyncDisposable {
  /** `content` null: a file that is not there yet. A device has at least `size` bytes, in whole sectors. */
  target(size: number, content: number | null): Promise<StorageTarget>;
}

export const STORAGE_KINDS: readonly StorageKind[] = [
  ...FILE_SYSTEM_TYPES.map(
    (type): StorageKind => ({
      name: `a file on ${type}`,
      type: 'file',
      declare: needsFileSystem(type),
      prepare: async () => filesOn(await mountFileSystem(type, type === 'xfs' ? undefined : 256 * MiB)),
    }),
  ),
  ...([512, 4096] as const).map(
    (sectorSize): StorageKind => ({
      name: `a device with sectors of ${sectorSize}`,
      type: 'block',
      declare: needsLoop,
      prepare: async () => devices(sectorSize),
    }),
  ),
];

function filesOn(fs: MountedFileSystem): PreparedStorage {
  return {
    async target(size, content) {
      const path = `${fs.path}/target.img`;
      if (content !== null) await fillWith(path, size, content);
      const dispose = () => unlink(path).catch(() => {});
      return {
        type: 'file',
        path,
        root: fs.path,
        backing: path,
        size: content === null ? 0 : size,
        [Symbol.asyncDispose]: dispose,
      };
    },
    [Symbol.asyncDispose]: () => fs.release(),
  };
}

function devices(sectorSize: 512 | 4096): PreparedStorage {
  return {
    async target(size, content) {
      const device = await attachLoop({ size: Math.ceil(size / sectorSize) * sectorSize, sectorSize });
      if (content !== null) await fillWith(device.path, device.size, content);
      const { path, backing } = device;
      return {
        type: 'block',
        path,
        root: path,
        backing,
        size: device.size,
        [Symbol.asyncDispose]: () => device.release(),
      };
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

/** Writes one byte's value all over a file or device and makes it durable. */
export async function fillWith(path: string, size: number, value: number): Promise<void> {
  await using file = await open(path, path.startsWith('/dev/') ? 'r+' : 'w');
  const block = Buffer.alloc(MiB, value);
  for (let position = 0; position < size; position += MiB) {
    await file.write(block, 0, Math.min(MiB, size - position), position);
  }
  await file.sync();
}

/** @throws Error naming the first byte of [start, start + length) that has another value */
export async function assertFilledWith(path: string, start: number, length: number, value: number): Promise<void> {
  await using file = await open(path, 'r');
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, start);
  if (bytesRead < length) throw new Error(`${path} ends at byte ${start + bytesRead}`);
  const at = buffer.findIndex((byte) => byte !== value);
  if (at !== -1) throw new Error(`byte ${start + at} of ${path} is ${buffer[at]}, not ${value}`);
}
