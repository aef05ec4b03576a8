/** Servers of the data plane: their time-outs, their connections, and where they listen. */

import { chmod, unlink } from 'node:fs/promises';
import { createServer, type RequestListener, type Server, type ServerOptions } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { FerryError } from '../../../shared/errors.js';
import { loadNative, type NativeError } from '../../../workers/native/index.js';
import type { OpenImages } from '../open-images.js';
import { Connection } from './connection.js';
import { answerConnect, answerMalformed, type ParseError } from './malformed.js';

/** Large enough that a request line which is too long is seen as that, and not as headers that are. */
const MOST_HEADER_BYTES = 64 * 1024;
/** For a request line and headers; bodies take as long as they take. */
const HEADERS_MS = 60_000;

export interface Tls {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca: Buffer | null;
}

export interface Serving {
  readonly server: Server;
  close(): Promise<void>;
}

/** @param makeListener  of the service; `connections` grows with each socket before its first request */
export function createServing(
  makeListener: (connections: WeakMap<object, Connection>) => RequestListener,
  images: OpenImages,
  tls: Tls | null = null,
): Serving {
  const connections = new WeakMap<object, Connection>();
  const sockets = new Set<Socket>();
  const options: ServerOptions = {
    maxHeaderSize: MOST_HEADER_BYTES,
    headersTimeout: HEADERS_MS,
    // Ours are per connection: these two would cut long transfers.
    requestTimeout: 0,
    keepAliveTimeout: 0,
    noDelay: true,
  };
  const server =
    tls === null
      ? createServer(options)
      : (createTlsServer({ ...options, ...tls, ca: tls.ca ?? undefined, minVersion: 'TLSv1.2' }) as unknown as Server);
  // A client may say that it sends no more while it still reads.
  (server as Server & { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = true;
  server.on(tls === null ? 'connection' : 'secureConnection', (socket: Socket) => {
    connections.set(socket, new Connection(socket, images));
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('timeout', (socket: Socket) => connections.get(socket)?.timedOut());
  server.on('clientError', (error: ParseError, socket: Socket) => {
    const connection = connections.get(socket);
    // A TLS handshake that failed.
    if (connection === undefined) socket.destroy();
    else answerMalformed(connection, error);
  });
  server.on('connect', (_request, socket: Socket) => {
    const connection = connections.get(socket);
    if (connection !== undefined) answerConnect(connection);
  });
  const listener = makeListener(connections);
  server.on('request', (request, response) => {
    const connection = connections.get(request.socket);
    // The next request of a connection may read what this one wrote, and its answer comes second anyhow.
    connection?.enqueue(
      () =>
        new Promise((resolve) => {
          if (connection.closed || response.closed) return resolve();
          response.once('close', resolve);
          listener(request, response);
        }),
    );
  });
  return {
    server,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** @returns the port. @throws FerryError CONFIG_INVALID */
export async function listenOnPort(server: Server, host: string, port: number, variables: string): Promise<number> {
  await listen(server, { host, port }, `${variables}: cannot listen on ${host} port ${port}`);
  return (server.address() as AddressInfo).port;
}

/**
 * Listens on a unix socket that the owner and the group may use. One that a crashed process left is replaced.
 * @param path  one that starts with NUL is a name in Linux's abstract name space
 * @throws FerryError CONFIG_INVALID  somebody listens there, or it cannot be made
 */
export async function listenOnSocket(server: Server, path: string, variable: string): Promise<void> {
  const abstract = path.startsWith('\0');
  const shown = abstract ? `@${path.slice(1)}` : path;
  const failure = `${variable}: cannot listen on ${shown}; another node may: give this one a path of its own`;
  if (abstract) return await listen(server, { fd: bindAbstract(path.slice(1), failure) }, failure);
  if (!(await answers(path))) await unlink(path).catch(() => {});
  await listen(server, { path }, failure);
  await chmod(path, 0o660);
}

/** Node.js would bind another name: this one and NULs up to the length of an address. */
function bindAbstract(name: string, failure: string): number {
  try {
    return loadNative().bindAbstract(Buffer.from(name));
  } catch (thrown) {
    throw cannotListen(failure, thrown as NativeError);
  }
}

function cannotListen(failure: string, cause: NodeJS.ErrnoException): FerryError {
  const { errno, syscall } = cause;
  return new FerryError('CONFIG_INVALID', `${failure} (${cause.code})`, { errno, syscall }, { cause });
}

async function listen(server: Server, where: object, failure: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(cannotListen(failure, cause)));
    server.listen(where, resolve);
  });
}

async function answers(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(true));
    // Of all errors only this one says that nobody is there any more.
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'));
    socket.once('connect', () => socket.destroy());
  });
}
