/** Storage of this machine that is sent somewhere: a raw file, a block device, an NBD export, or a file of another format. */
import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { FerryError } from '../../../shared/errors.js';
import { type NbdAddress, parseNbdUri } from '../../../shared/nbd-uri.js';
import { ControlBlock } from '../../../workers/control.js';
import type { Workers } from '../../../workers/pool.js';
import type { SourceHandle } from '../../../workers/storage/handle.js';
import { isNbd } from '../targets.js';
import { formatOf, type ImageFormat } from './image-format.js';
import { startQemuNbd } from './qemu-nbd.js';

export interface LocalSource {
  readonly handle: SourceHandle;
  /** null: of an NBD export. */
  readonly format: ImageFormat | null;
  /** Packed ranges that may hold data. */
  readonly data: Float64Array;
  /** When a file was last changed, nanoseconds as text; null where that means nothing. */
  readonly modified: string | null;
  /** @throws FerryError SOURCE_CHANGED  it is not what it was when it was opened, as far as that can be told */
  assertUnchanged(): Promise<void>;
  close(): Promise<void>;
}

/**
 * @param typed   a path or an NBD URI
 * @param format  null: what the file says of itself, see `formatOf`
 * @throws FerryError PATH_*, STORAGE_*, SOURCE_BUSY, SOURCE_EMPTY, NOT_SUPPORTED, BAD_REQUEST
 */
export async function openLocalSource(
  workers: Workers,
  typed: string,
  format: ImageFormat | null,
): Promise<LocalSource> {
  const undo: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  const keep = async (opening: Promise<SourceHandle>): Promise<SourceHandle> => {
    const handle = await opening;
    undo.push(() => workers.run('close', { handles: [handle] }));
    return handle;
  };
  const finish = async (handle: SourceHandle, about: Pick<LocalSource, 'format' | 'modified' | 'assertUnchanged'>) => {
    const data = await workers.run('extents', { handle, control: new ControlBlock().memory });
    return { handle, data, ...about, close };
  };
  try {
    if (isNbd(typed)) {
      const handle = await keep(openNbd(workers, parseNbdUri(typed, 'FILE')));
      return await finish(handle, { format: null, modified: null, assertUnchanged: async () => {} });
    }
    const path = resolve(typed);
    const used = await formatOf(path, format);
    if (used === 'raw') {
      const handle = await keep(workers.run('openSource', { path, roots: [path] }));
      const assertUnchanged = () => workers.run('checkSource', { source: handle });
      return await finish(handle, { format: used, modified: handle.identity.modified, assertUnchanged });
    }
    // Not locked by us: qemu-nbd has locks of its own, which ours would be in the way of.
    const modified = await modifiedAt(path);
    const server = await startQemuNbd(path, used);
    undo.push(server.close);
    const address = { transport: 'unix', socket: server.socket, exportName: '' } as const;
    const handle = await keep(openNbd(workers, address));
    const assertUnchanged = async () => {
      if ((await modifiedAt(path)) === modified) return;
      throw new FerryError('SOURCE_CHANGED', `${path} was written to while it was read`, { path });
    };
    return await finish(handle, { format: used, modified, assertUnchanged });
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

/** What the person at this machine names, it may read: there is nobody else to keep out. */
async function openNbd(workers: Workers, nbd: NbdAddress): Promise<SourceHandle> {
  const roots = nbd.transport === 'unix' ? [dirname(nbd.socket)] : [];
  return await workers.run('openSource', { nbd, roots, nbdHosts: ['*'] });
}

async function modifiedAt(path: string): Promise<string> {
  return String((await stat(path, { bigint: true })).mtimeNs);
}
