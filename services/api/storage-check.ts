/**
 * Refuses a request whose paths cannot work on this machine, before it is queued. Reads metadata only.
 * The job keeps the paths as the client wrote them: the node that runs it checks again, for what it opens.
 */
import { FerryError } from '../../shared/errors.js';
import type { JobRequest } from '../../shared/schemas/job.js';
import { confinePath } from '../../shared/storage-roots.js';
import type { ApiContext } from './context.js';

/**
 * @throws FerryError POOL_UNKNOWN, PATH_FORBIDDEN, PATH_NOT_FOUND, PATH_NOT_SUPPORTED, STORAGE_DENIED,
 *                    TARGET_IS_SOURCE  each naming the field
 */
export async function checkStorage({ config }: ApiContext, request: JobRequest): Promise<void> {
  const { pool, target } = request;
  if (!config.pools.includes(pool)) {
    const known = config.pools.join(', ');
    throw new FerryError('POOL_UNKNOWN', `pool: no node serves "${pool}"; there is ${known}`, { field: 'pool' });
  }
  const source =
    request.kind === 'upload'
      ? await confinePath(
          { path: request.source.path, field: 'source.path', allow: ['file', 'block'], mayCreate: false },
          config.storageRoots,
        )
      : null;
  const confinedTarget = await confinePath(
    { path: target.path, field: 'target.path', allow: [target.type], mayCreate: target.type === 'file' },
    config.storageRoots,
  );
  if (source?.path === confinedTarget.path) {
    throw new FerryError('TARGET_IS_SOURCE', `target.path: ${target.path} is the source itself`, {
      field: 'target.path',
    });
  }
}
