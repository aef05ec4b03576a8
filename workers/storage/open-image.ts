/**
 * Opens storage that clients of the data plane read and write by ranges. Unlike a job's target it is never made or
 * resized here, and may be opened by several at once; the data plane keeps one handle for all of them.
 * The blocking calls make this worker-thread code.
 */
import { FerryError } from '../../shared/errors.js';
import { confineNbd, type StorageLimits } from '../../shared/nbd-roots.js';
import type { NbdAddress } from '../../shared/nbd-uri.js';
import { BLOCKING_LOOK, confinePath } from '../../shared/storage-roots.js';
import type { NativeIo } from '../native/index.js';
import { queueLimits } from './block-queue.js';
import { probeDirectIo } from './direct-io.js';
import { guard, storageError } from './errors.js';
import { createShared, type FdKind, type FdSource, type FdTarget, FILE_UNIT, type Handle } from './handle.js';
import { openNbdSource, openNbdTarget } from './nbd.js';
import { assertSame, identify, lockTarget, openExisting, sizeOf } from './open.js';

export interface OpenImageRequest extends StorageLimits {
  readonly image:
    | { readonly type: 'file'; readonly path: string }
    | { readonly type: 'nbd'; readonly address: NbdAddress };
  readonly write: boolean;
}

/**
 * Opens for reading, or for reading and writing: then with the same locks as a job's target.
 * A reader takes no lock: clients read images that others, and they themselves, are writing.
 * @throws FerryError PATH_*, STORAGE_DENIED (see `confinePath`)
 * @throws FerryError TARGET_BUSY  to be written, and a job, another node or another program has it
 */
export async function openImage(io: NativeIo, request: OpenImageRequest): Promise<Handle> {
  const { image } = request;
  if (image.type === 'nbd') {
    const uri = await confineNbd(image.address, 'url', request);
    return request.write ? openNbdTarget(io, uri, false) : openNbdSource(io, uri);
  }
  const found = await confinePath(
    { path: image.path, field: 'url', allow: ['file', 'block'], mayCreate: false },
    request.roots,
    BLOCKING_LOOK,
  );
  if (found.kind === null) throw new FerryError('PATH_NOT_FOUND', `${found.path} does not exist`, { path: found.path });
  return request.write ? await openForWriting(io, found.path, found.kind) : openForReading(io, found.path, found.kind);
}

function openForReading(io: NativeIo, path: string, kind: FdKind): FdSource {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = io.constants;
  const fd = guard(path, 'open', () => io.open(path, O_RDONLY | O_NOFOLLOW | (kind === 'file' ? O_NONBLOCK : 0)));
  try {
    assertSame(fd, path, kind);
    const size = sizeOf(io, fd, kind, path);
    return { kind, path, fd, size, identity: identify(fd, kind, size) };
  } catch (thrown) {
    io.close(fd);
    throw thrown;
  }
}

async function openForWriting(io: NativeIo, path: string, kind: FdKind): Promise<FdTarget> {
  const fd = await openExisting(io, path, kind);
  let directFd: number | null = null;
  try {
    await lockTarget(io, fd, path);
    assertSame(fd, path, kind);
    const size = sizeOf(io, fd, kind, path);
    const sectorSize = kind === 'block' ? guard(path, 'ask', () => io.logicalSectorSize(fd)) : FILE_UNIT;
    const direct = probeDirectIo(io, fd, io.constants.O_RDWR, sectorSize);
    directFd = direct.fd;
    return {
      kind,
      path,
      fd,
      directFd,
      directRefusal: direct.refusal,
      // What it has now; of a file that grows later, pages behind this go through the page cache where they are partial.
      size,
      sectorSize,
      zeroWrites: kind === 'block' && queueLimits(fd).writeZeroesMaxBytes === 0,
      created: false,
      readsZero: false,
      identity: identify(fd, kind, size),
      shared: createShared(),
    };
  } catch (thrown) {
    if (directFd !== null) io.close(directFd);
    io.close(fd);
    throw storageError(thrown, path, 'open');
  }
}
