/**
 * Refuses a request whose paths cannot work on this machine, before it is queued. Reads metadata only.
 * The job keeps the paths as the client wrote them: the node that runs it checks again, for what it opens.
 */
import { FerryError } from '../../shared/errors.js';
import { confineNbd } from '../../shared/nbd-roots.js';
import { parseNbdUri } from '../../shared/nbd-uri.js';
import { isClientUpload, type JobRequest, type StoredSource, type Target } from '../../shared/schemas/job.js';
import { storageName } from '../../shared/storage-name.js';
import { confinePath, type PathRequest } from '../../shared/storage-roots.js';
import type { ApiContext } from './context.js';

type StorageConfig = ApiContext['config'];

/**
 * @throws FerryError POOL_UNKNOWN, PATH_FORBIDDEN, PATH_NOT_FOUND, PATH_NOT_SUPPORTED, STORAGE_DENIED,
 *                    TARGET_IS_SOURCE  each naming the field
 */
export async function checkStorage({ config }: ApiContext, request: JobRequest): Promise<void> {
  checkPool(config, request.pool);
  const source =
    request.kind === 'zero' || isClientUpload(request)
      ? null
      : await confine(config, request.source as StoredSource, 'source');
  if (request.kind === 'download') return;
  const target = await confine(config, request.target, 'target');
  if (source === target) {
    const field = fieldOf(request.target, 'target');
    throw new FerryError('TARGET_IS_SOURCE', `${field}: ${storageName(request.target)} is the source itself`, {
      field,
    });
  }
}

/**
 * @param at  where the storage stands in the request, such as `vms[0].disks[1].source`; targets end in `target`
 * @returns   the one name of what it is, symlinks resolved
 * @throws FerryError PATH_FORBIDDEN, PATH_NOT_FOUND, PATH_NOT_SUPPORTED, STORAGE_DENIED
 */
export async function confine({ storageRoots, nbdHosts }: StorageConfig, storage: StoredSource | Target, at: string) {
  const field = fieldOf(storage, at);
  if (storage.type === 'nbd') {
    return await confineNbd(parseNbdUri(storage.uri, field), field, { roots: storageRoots, nbdHosts });
  }
  const isTarget = at.endsWith('target');
  const kinds: PathRequest['allow'] = isTarget ? [storage.type] : ['file', 'block'];
  const mayCreate = isTarget && storage.type === 'file';
  return (await confinePath({ path: storage.path, field, allow: kinds, mayCreate }, storageRoots)).path;
}

/** Of that part of a source or target which says where it is. */
export function fieldOf(storage: StoredSource | Target, at: string): string {
  return `${at}.${storage.type === 'nbd' ? 'uri' : 'path'}`;
}

/** @throws FerryError POOL_UNKNOWN */
export function checkPool({ pools }: StorageConfig, pool: string): void {
  if (pools.includes(pool)) return;
  const message = `pool: no node serves "${pool}"; there is ${pools.join(', ')}`;
  throw new FerryError('POOL_UNKNOWN', message, { field: 'pool' });
}
