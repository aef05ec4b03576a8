/** How an image is reached best: through a unix socket when its server is this machine. */
import { type ImageAddress, ImageConnection, type ImageOptions } from './connection.js';

export interface Reached {
  readonly address: ImageAddress;
  readonly options: ImageOptions;
}

/**
 * Asks what can be done with the image, and finds out whether the server's local socket leads to the same one.
 * @throws FerryError TICKET_REFUSED, NODE_UNAVAILABLE
 */
export async function reach(url: string, ca: Buffer | null): Promise<Reached> {
  const remote: ImageAddress = { url, socket: null, ca };
  const options = await ask(remote);
  const { unix_socket: socket } = options;
  if (socket === undefined) return { address: remote, options };
  const local: ImageAddress = { url, socket, ca };
  try {
    // A socket of that name may be here without being the server's: then it does not know the ticket.
    return { address: local, options: await ask(local) };
  } catch {
    return { address: remote, options };
  }
}

async function ask(address: ImageAddress): Promise<ImageOptions> {
  const connection = new ImageConnection(address);
  try {
    return await connection.options();
  } finally {
    connection.close();
  }
}
