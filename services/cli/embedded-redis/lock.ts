/**
 * The lock that allows one redis-server per data directory.
 * An open-file-description lock belongs to the open file, not to a process: handed to redis-server as an
 * inherited descriptor it lives exactly as long as that server (or a child that still rewrites its
 * append-only file), whatever becomes of us. Source: fcntl(2), "Open file description locks".
 */
import { type FileHandle, open } from 'node:fs/promises';
import { FerryError } from '../../../shared/errors.js';
import { loadNative } from '../../../workers/native/index.js';

/**
 * Takes the lock without waiting: one quick system call, which is why it may run on the event loop.
 * @returns the open file that holds it, for the caller to pass on and close; null when somebody else has it
 * @throws FerryError CONFIG_INVALID  the lock file cannot be opened or this file system has no locks
 * @throws FerryError NATIVE_MODULE   the addon is not built
 */
export async function tryLock(path: string): Promise<FileHandle | null> {
  const native = loadNative();
  let file: FileHandle;
  try {
    file = await open(path, 'a', 0o600);
  } catch (cause) {
    throw new FerryError('CONFIG_INVALID', `FERRY_DATA_DIR: ${(cause as Error).message}`, { path }, { cause });
  }
  try {
    native.lockFile(file.fd, true);
    return file;
  } catch (cause) {
    await file.close();
    const code = (cause as { code?: string }).code;
    if (code === 'EAGAIN' || code === 'EACCES') return null;
    throw new FerryError(
      'CONFIG_INVALID',
      `FERRY_DATA_DIR: ${path} cannot be locked: ${(cause as Error).message}`,
      { path },
      { cause },
    );
  }
}

/** Whether nobody uses the directory now. */
export async function isFree(path: string): Promise<boolean> {
  const file = await tryLock(path);
  await file?.close();
  return file !== null;
}
