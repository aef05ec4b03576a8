/**
 * What every request of one service goes through: the path is decoded, its route found, and an error becomes an
 * answer. The few routes and their exact paths need no framework, and one would cost a fifth of a small request.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { ImagesContext } from '../context.js';
import { answerError } from './answer.js';
import type { Connection } from './connection.js';
import { corsHeaders } from './cors.js';
import type { Route } from './exchange.js';
import { asHttpError, HttpError } from './http-error.js';
import { REQUEST_LINE_BYTES } from './malformed.js';

/** ' HTTP/1.1' and a space. */
const LINE_OVERHEAD = 10;

const NOTHING: ReadonlyMap<string, string> = new Map();

/** @param connections  of each socket of the server */
export function createListener(
  context: ImagesContext,
  routes: readonly Route[],
  connections: WeakMap<object, Connection>,
): RequestListener {
  return (request, response) => {
    const connection = connections.get(request.socket) as Connection;
    serve(context, routes, request, response, connection).catch((thrown: unknown) =>
      answerFailure(context, request, response, connection, thrown),
    );
  };
}

/** @throws HttpError 400, 404, 405, 414, and what a route throws */
async function serve(
  context: ImagesContext,
  routes: readonly Route[],
  request: IncomingMessage,
  response: ServerResponse,
  connection: Connection,
): Promise<void> {
  const { method = '', url = '/' } = request;
  if (method.length + url.length + LINE_OVERHEAD > REQUEST_LINE_BYTES) {
    throw new HttpError(414, 'The request line is too long', { Connection: 'close' });
  }
  const [path, search] = decoded(url);
  for (const route of routes) {
    const match = route.path.exec(path);
    if (match === null) continue;
    for (const [name, value] of corsHeaders(route, request)) response.setHeader(name, value);
    const handler = Object.hasOwn(route.methods, method) ? route.methods[method as keyof Route['methods']] : undefined;
    if (handler === undefined) {
      const allow = Object.keys(route.methods).join(',');
      throw new HttpError(405, `Method not allowed: ${method}`, { Allow: allow });
    }
    const query = search === '' ? NOTHING : new Map(new URLSearchParams(search));
    return await connection.serving(handler({ context, request, response, connection, id: match[1] ?? '', query }));
  }
  throw new HttpError(404, `No handler for ${JSON.stringify(path)}`);
}

/** @returns the path, whatever of it was encoded, and what follows the question mark. @throws HttpError 400 */
function decoded(url: string): [string, string] {
  // A proxy may send the whole URL.
  const local = url.startsWith('/') ? url : url.replace(/^https?:\/\/[^/?]*/i, '');
  const mark = local.indexOf('?');
  const path = mark === -1 ? local : local.slice(0, mark);
  const search = mark === -1 ? '' : local.slice(mark + 1);
  try {
    return [path.includes('%') ? decodeURIComponent(path) : path || '/', search];
  } catch {
    throw new HttpError(400, 'The path is not valid');
  }
}

function answerFailure(
  { log }: ImagesContext,
  request: IncomingMessage,
  response: ServerResponse,
  connection: Connection,
  thrown: unknown,
): void {
  const error = asHttpError(thrown);
  const path = request.url?.split('?', 1)[0]?.slice(0, 200);
  const line = { method: request.method, path, status: error.status, reason: error.message };
  if (error.status >= 500) log.warn({ ...line, err: error.cause ?? error }, 'a request failed');
  else log.debug({ ...line, ...(error.cause === undefined ? {} : { err: error.cause }) }, 'a request was refused');
  void answerError(request, response, error, connection.cut);
}
