/** Opens connections to an image, by the best way there is. */
import { readFile } from 'node:fs/promises';
import { FerryError } from '../../../shared/errors.js';
import { Clients } from './clients.js';
import { type ImageAddress, openImage } from './open-image.js';
import { CONNECTIONS, type TransferFlags } from './transfer-flags.js';

/**
 * Connections for as long as `work` runs; as many as the server allows and the flags say.
 * @throws FerryError BAD_REQUEST, NODE_UNAVAILABLE, TICKET_REFUSED, and what `work` throws
 */
export async function withImage<T>(
  { url, local }: Pick<ImageAddress, 'url' | 'local'>,
  op: 'read' | 'write',
  flags: TransferFlags,
  signal: AbortSignal,
  work: (clients: Clients) => Promise<T>,
): Promise<T> {
  const authorities = flags.cacert === undefined ? null : await readAuthorities(flags.cacert);
  const { endpoint, options } = await openImage({ url, local, authorities }, signal);
  const most = op === 'read' ? options.max_readers : options.max_writers;
  const clients = new Clients(endpoint, Math.min(flags.connections ?? CONNECTIONS, most), signal);
  try {
    return await work(clients);
  } finally {
    clients.close();
  }
}

async function readAuthorities(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new FerryError('BAD_REQUEST', `--cacert: ${(cause as Error).message}`, { path }, { cause });
  }
}
