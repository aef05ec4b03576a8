/**
 * Refuses a request whose paths cannot work on this machine, before it is queued. Reads metadata only.
 * The job keeps the paths as the client wrote them: the node that runs it checks again, for what it opens.
 */
import { FerryError } from '../../shared/errors.js';
import type { JobRequest, Source, Target } from '../../shared/schemas/job.js';
import { confinePath, type PathRequest } from '../../shared/storage-roots.js';
import type { ApiContext } from './context.js';

type StorageConfig = ApiContext['config'];

/**
 * @throws FerryError POOL_UNKNOWN, PATH_FORBIDDEN, PATH_NOT_FOUND, PATH_NOT_SUPPORTED, STORAGE_DENIED,
 *                    TARGET_IS_SOURCE  each naming the field
 */
export async function checkStorage({ config }: ApiContext, request: JobRequest): Promise<void> {
  checkPool(config, request.pool);
  const { storageRoots } = config;
  const source =
    request.kind === 'upload' ? await confinePath(sourceRequest(request.source, 'source.path'), storageRoots) : null;
  const target = await confinePath(targetRequest(request.target, 'target.path'), storageRoots);
  if (source?.path === target.path) {
    const message = `target.path: ${request.target.path} is the source itself`;
    throw new FerryError('TARGET_IS_SOURCE', message, { field: 'target.path' });
  }
}

/** @throws FerryError POOL_UNKNOWN */
export function checkPool({ pools }: StorageConfig, pool: string): void {
  if (pools.includes(pool)) return;
  const message = `pool: no node serves "${pool}"; there is ${pools.join(', ')}`;
  throw new FerryError('POOL_UNKNOWN', message, { field: 'pool' });
}

export function sourceRequest({ path }: Source, field: string): PathRequest {
  return { path, field, allow: ['file', 'block'], mayCreate: false };
}

export function targetRequest({ path, type }: Target, field: string): PathRequest {
  return { path, field, allow: [type], mayCreate: type === 'file' };
}
