/**
 * Opened targets of every kind on which reads, writes and zeroes must be exact: one suite, each target runs it.
 * `for (const subject of SUBJECTS) subject.declare('does it', async () => { await using target = await subject.open(…) })`.
 */
import { truncate, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { loadNative, type NativeIo } from '../../workers/native/index.js';
import { closeStorage } from '../../workers/storage/close.js';
import type { FdTarget, NbdTarget, TargetHandle } from '../../workers/storage/handle.js';
import { openNbdTarget } from '../../workers/storage/nbd.js';
import { openTarget } from '../../workers/storage/open.js';
import { FaultyIo } from './faulty-io.js';
import { attachLoop, needsLoop } from './loop.js';
import { mountFileSystem, needsFileSystem } from './mounts.js';
import { needsNbd, startNbdkit } from './nbd.js';
import type { Declare } from './needs.js';
import { tempDir } from './temp.js';

export interface OpenedTarget<H extends TargetHandle = TargetHandle> extends AsyncDisposable {
  readonly io: NativeIo;
  readonly handle: H;
  /** Where its bytes are kept: the file itself, or the file behind the loop device or the server. */
  readonly backing: string;
  /** Where they can be read: the file or the device itself; of an export the file behind it. */
  readonly readable: string;
}

export interface Subject<H extends TargetHandle = TargetHandle> {
  readonly name: string;
  /** Declares a test that uses this subject, or skips it and says what is missing. */
  readonly declare: Declare;
  /** @param size  about so many bytes: a device rounds up to whole sectors */
  open(size: number, io?: NativeIo): Promise<OpenedTarget<H>>;
}

/** A file on ext4: all rungs work, direct I/O as well. `direct` false: O_DIRECT is refused when it is opened. */
export async function openFile(
  size: number,
  io: NativeIo = loadNative(),
  direct = true,
): Promise<OpenedTarget<FdTarget>> {
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
): Promise<OpenedTarget<FdTarget>> {
  const device = await attachLoop({ size: Math.ceil(size / sectorSize) * sectorSize, sectorSize });
  const handle = await openTarget(io, request('block', device.path, 0));
  return opened(io, handle, device.backing, device);
}

/** An NBD export of a file, by a server that takes requests in units of `block`. */
export async function openNbd(
  block: 1 | 512 | 4096,
  size: number,
  io: NativeIo = loadNative(),
): Promise<OpenedTarget<NbdTarget>> {
  const dir = await tempDir();
  const backing = dir.join('export.img');
  await writeFile(backing, '');
  await truncate(backing, Math.ceil(size / block) * block);
  const policy = block === 1 ? [] : ['--filter=blocksize-policy'];
  const limits = block === 1 ? [] : [`blocksize-minimum=${block}`, 'blocksize-error-policy=error'];
  const server = await startNbdkit(dir.path, [...policy, 'file', backing, ...limits]);
  const handle = openNbdTarget(io, server.uri, false);
  return opened(io, handle, backing, {
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await dir.release();
    },
  });
}

/** Those with descriptors. */
export const FD_SUBJECTS: readonly Subject<FdTarget>[] = [
  { name: 'a file', declare: needsFileSystem('ext4'), open: (size, io) => openFile(size, io) },
  {
    name: 'a file that refuses direct I/O',
    declare: needsFileSystem('ext4'),
    open: (size, io) => openFile(size, io, false),
  },
  { name: 'a device with sectors of 512', declare: needsLoop, open: (size, io) => openLoop(512, size, io) },
  { name: 'a device with sectors of 4096', declare: needsLoop, open: (size, io) => openLoop(4096, size, io) },
];

export const SUBJECTS: readonly Subject[] = [
  ...FD_SUBJECTS,
  { name: 'an NBD export', declare: needsNbd, open: (size, io) => openNbd(1, size, io) },
  { name: 'an NBD export in blocks of 512', declare: needsNbd, open: (size, io) => openNbd(512, size, io) },
  { name: 'an NBD export in blocks of 4096', declare: needsNbd, open: (size, io) => openNbd(4096, size, io) },
];

export function request(type: 'file' | 'block', path: string, fileSize: number) {
  const roots = [type === 'file' ? dirname(path) : path];
  return { type, path, roots, neededBytes: 1, fileSize: fileSize || null, source: null, declaredZero: false };
}

function opened<H extends TargetHandle>(
  io: NativeIo,
  handle: H,
  backing: string,
  below: AsyncDisposable,
): OpenedTarget<H> {
  const dispose = async () => {
    closeStorage(loadNative(), handle);
    await below[Symbol.asyncDispose]();
  };
  const readable = handle.kind === 'nbd' ? backing : handle.path;
  return { io, handle, backing, readable, [Symbol.asyncDispose]: dispose };
}

function withoutDirect(io: NativeIo): NativeIo {
  const { O_DIRECT } = io.constants;
  return new FaultyIo(io).refuse('open', 'EINVAL', (_path, flags) => (flags & O_DIRECT) !== 0).io;
}
