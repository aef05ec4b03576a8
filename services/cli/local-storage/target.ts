/**
 * Storage of this machine that an image is received into. A file appears under its name when it is complete and durable,
 * and until then under another one: half an image is never taken for a whole one.
 */
import { lstat, open, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { FerryError } from '../../../shared/errors.js';
import { ControlBlock } from '../../../workers/control.js';
import type { Workers } from '../../../workers/pool.js';
import type { TargetHandle } from '../../../workers/storage/handle.js';
import { looksLikeDevice } from '../targets.js';

export interface LocalTarget {
  readonly handle: TargetHandle;
  /** All of it is there and durable. */
  complete(): Promise<void>;
  /** Closes; what is not complete is removed. */
  close(): Promise<void>;
}

/**
 * @param overwrite  whether a file of that name, or what is on a device, may go
 * @throws FerryError BAD_REQUEST (it exists), PATH_*, TARGET_*, STORAGE_*
 */
export async function openLocalTarget(
  workers: Workers,
  typed: string,
  size: number,
  overwrite: boolean,
): Promise<LocalTarget> {
  const path = resolve(typed);
  const isDevice = await looksLikeDevice(path);
  if (!overwrite) await assertNew(path, isDevice);
  const written = isDevice ? path : `${path}.part`;
  const handle = await workers.run('openTarget', {
    type: isDevice ? 'block' : 'file',
    path: written,
    roots: [isDevice ? path : dirname(path)],
    neededBytes: size,
    fileSize: isDevice ? null : size,
    source: null,
    declaredZero: false,
    control: new ControlBlock().memory,
  });
  let completed = false;
  return {
    handle,
    async complete() {
      if (!isDevice) {
        await rename(handle.path, path);
        await syncDirectory(dirname(path));
      }
      completed = true;
    },
    async close() {
      try {
        if (!isDevice && !completed) await rm(handle.path, { force: true });
      } finally {
        await workers.run('close', { handles: [handle] });
      }
    },
  };
}

async function assertNew(path: string, isDevice: boolean): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  const what = isDevice ? 'is a block device' : 'exists';
  throw new FerryError('BAD_REQUEST', `${path} ${what}: say --overwrite if what it holds may go`, { path });
}

/** The new name survives a crash as well. */
async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path);
  await directory.sync();
}
