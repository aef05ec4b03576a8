/**
 * Opened targets of every kind on which reads, writes and zeroes must be exact: one suite, each target runs it.
 * `for (const subject of SUBJECTS) subject.declare('does it', async () => { await using target = await subject.open(…) })`.
 */
import { dirname } from 'node:path';
import { loadNative, type NativeIo } from '../../workers/native/index.js';
import { closeStorage } from '../../workers/storage/close.js';
import type { TargetHandle } from '../../workers/storage/handle.js';
import { openTarget } from '../../workers/storage/open.js';
import { FaultyIo } from './faulty-io.js';
import { attachLoop, needsLoop } from './loop.js';
import { mountFileSystem, needsFileSystem } from './mounts.js';
import type { Declare } from './needs.js';

export interface OpenedTarget extends AsyncDisposable {
  readonly io: NativeIo;
  readonly handle: TargetHandle;
  /** Where its bytes are kept: the file itself, or the file behind the loop device. */
  readonly backing: string;
}

export interface Subject {
  readonly name: string;
  /** Declares a test that uses this subject, or skips it and says what is missing. */
  readonly declare: Declare;
  /** @param size  about so many bytes: a device rounds up to whole sectors */
  open(size: number, io?: NativeIo): Promise<OpenedTarget>;
}

/** A file on ext4: all rungs work, direct I/O as well. `direct` false: O_DIRECT is refused when it is opened. */
export async function openFile(size: number, io: NativeIo = loadNative(), direct = true): Promise<OpenedTarget> {
  const fs = await mountFileSystem('ext4');
  const path = `${fs.path}/target.img`;
  const used = direct ? io : withoutDirect(io);
  const handle = await openTarget(used, request('file', path, size));
  return opened(used, handle, path, fs);
}

export async function openLoop(
  sectorSize: 512 | 4096,
  size: number,
  io: NativeIo = loadNative(),
): Promise<OpenedTarget> {
  const device = await attachLoop({ size: Math.ceil(size / sectorSize) * sectorSize, sectorSize });
  const handle = await openTarget(io, request('block', device.path, 0));
  return opened(io, handle, device.backing, device);
}

export const SUBJECTS: readonly Subject[] = [
  { name: 'a file', declare: needsFileSystem('ext4'), open: (size, io) => openFile(size, io) },
  {
    name: 'a file that refuses direct I/O',
    declare: needsFileSystem('ext4'),
    open: (size, io) => openFile(size, io, false),
  },
  { name: 'a device with sectors of 512', declare: needsLoop, open: (size, io) => openLoop(512, size, io) },
  { name: 'a device with sectors of 4096', declare: needsLoop, open: (size, io) => openLoop(4096, size, io) },
];

export function request(type: 'file' | 'block', path: string, fileSize: number) {
  const roots = [type === 'file' ? dirname(path) : path];
  return { type, path, roots, neededBytes: 1, fileSize: fileSize || null, source: null, declaredZero: false };
}

function opened(io: NativeIo, handle: TargetHandle, backing: string, below: AsyncDisposable): OpenedTarget {
  const dispose = async () => {
    closeStorage(loadNative(), handle);
    await below[Symbol.asyncDispose]();
  };
  return { io, handle, backing, [Symbol.asyncDispose]: dispose };
}

function withoutDirect(io: NativeIo): NativeIo {
  const { O_DIRECT } = io.constants;
  return new FaultyIo(io).refuse('open', 'EINVAL', (_path, flags) => (flags & O_DIRECT) !== 0).io;
}
