/**
 * Which NBD servers may be talked to: unix sockets inside the storage roots, and hosts of FERRY_NBD_HOSTS. A client names
 * the server, so without this it could reach through us whatever listens in our network.
 */
import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, normalize } from 'node:path';
import { FerryError } from './errors.js';
import { formatNbdUri, type NbdAddress } from './nbd-uri.js';
import { withinRoots } from './storage-roots.js';

export interface StorageLimits {
  readonly roots: readonly string[];
  /** `host`, `host:port` or `*`; an IPv6 address with a port is in brackets. */
  readonly nbdHosts: readonly string[];
}

/**
 * Resolves symlinks on the way to a socket.
 * @param field  for the error, such as `source.uri`
 * @returns      the URI to connect to
 * @throws FerryError PATH_FORBIDDEN, PATH_NOT_FOUND, PATH_NOT_SUPPORTED
 */
export async function confineNbd(address: NbdAddress, field: string, limits: StorageLimits): Promise<string> {
  if (address.transport === 'tcp') {
    const { host, port } = address;
    const names = host.includes(':') ? [host, `[${host}]`, `[${host}]:${port}`] : [host, `${host}:${port}`];
    const allowed = limits.nbdHosts.some((known) => known === '*' || names.includes(known));
    if (allowed) return formatNbdUri(address);
    const advice = 'its host is not one of FERRY_NBD_HOSTS';
    throw new FerryError('PATH_FORBIDDEN', `${field}: ${formatNbdUri(address)} is not allowed: ${advice}`, { field });
  }
  const { socket } = address;
  const details = { field, path: socket };
  const canonical = await realpath(socket).catch(() => null);
  // Of what is missing outside the roots nobody is told that it is missing.
  if (!(await withinRoots(canonical ?? (await whereItWouldBe(socket)), socket, false, limits.roots))) {
    const advice = 'its socket is outside the storage roots (FERRY_STORAGE_ROOTS)';
    throw new FerryError('PATH_FORBIDDEN', `${field}: ${socket} is not allowed: ${advice}`, details);
  }
  if (canonical === null) throw new FerryError('PATH_NOT_FOUND', `${field}: there is no socket ${socket}`, details);
  if (!(await stat(canonical)).isSocket()) {
    throw new FerryError('PATH_NOT_SUPPORTED', `${field}: ${socket} is no socket`, details);
  }
  return formatNbdUri({ ...address, socket: canonical });
}

async function whereItWouldBe(socket: string): Promise<string> {
  const directory = await realpath(dirname(socket)).catch(() => null);
  return directory === null ? normalize(socket) : join(directory, basename(socket));
}
