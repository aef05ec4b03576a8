/**
 * Finds the best way to an image: the unix socket of its server when that is on this machine, else its URL. What is
 * found may be used by several connections at once.
 */
import { stat } from 'node:fs/promises';
import { FerryError } from '../../../shared/errors.js';
import { ConnectionBroken, type Endpoint } from './connection.js';
import { ImageClient, type ImageOptions } from './image-client.js';

export interface ImageAddress {
  /** `http(s)://host:port/images/{id}` */
  readonly url: string;
  /** Unix socket of the same server on its machine, where it is known before the server is asked. */
  readonly local: string | null;
  readonly authorities: Buffer | null;
}

export interface RemoteImage {
  readonly endpoint: Endpoint;
  readonly options: ImageOptions;
}

/** @throws FerryError BAD_REQUEST (the URL), NODE_UNAVAILABLE, TICKET_REFUSED, INTERNAL */
export async function openImage(address: ImageAddress, signal: AbortSignal): Promise<RemoteImage> {
  const endpoint: Endpoint = { url: parseImageUrl(address.url), socketPath: null, authorities: address.authorities };
  if (address.local !== null) {
    // Its URL is for others; from here its name may not even resolve.
    const near = await onThisMachine(endpoint, address.local, signal);
    if (near !== null) return near;
  }
  const far = { endpoint, options: await ask(endpoint, signal) };
  const { unix_socket: socket } = far.options;
  if (socket === undefined || socket === address.local) return far;
  return (await onThisMachine(endpoint, socket, signal)) ?? far;
}

/** @throws FerryError BAD_REQUEST */
export function parseImageUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url !== null && /^https?:$/.test(url.protocol) && url.pathname !== '/' && url.search === '') return url;
  throw new FerryError('BAD_REQUEST', `${text}: expected the URL of an image, such as https://host:54322/images/ID`);
}

/** Another machine may have a socket of the same name: only one that knows the ticket is the right one. */
async function onThisMachine(remote: Endpoint, socket: string, signal: AbortSignal): Promise<RemoteImage | null> {
  const isThere = socket.startsWith('\0') || (await stat(socket).catch(() => null))?.isSocket() === true;
  if (!isThere) return null;
  const endpoint = { ...remote, socketPath: socket };
  try {
    return { endpoint, options: await ask(endpoint, signal) };
  } catch (thrown) {
    signal.throwIfAborted();
    if (thrown instanceof FerryError) return null;
    throw thrown;
  }
}

/** The first contact: a server that is not there is told at once, and not tried again and again. */
async function ask(endpoint: Endpoint, signal: AbortSignal): Promise<ImageOptions> {
  const client = new ImageClient(endpoint, signal, []);
  try {
    return await client.options();
  } catch (thrown) {
    if (!(thrown instanceof ConnectionBroken) || !thrown.reached) throw thrown;
    return await client.options();
  } finally {
    client.close();
  }
}
