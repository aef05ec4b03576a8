/** The Express app of one service: what every request goes through, its routes, and what becomes of errors. */
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express';
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
export function createApp(
  context: ImagesContext,
  routes: readonly Route[],
  connections: WeakMap<object, Connection>,
): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', false);
  app.enable('case sensitive routing');
  app.enable('strict routing');
  app.use(decoded);
  for (const route of routes) app.all(route.path, serve(context, route, connections));
  app.use((request) => {
    throw new HttpError(404, `No handler for ${JSON.stringify(decodeURI(request.path))}`);
  });
  app.use(errorHandler(context, connections));
  return app;
}

/** What is encoded in a path means the same as what is not: brings it into the one form that the routes match. */
const decoded: RequestHandler = (request, _response, next) => {
  const { method, url } = request;
  if (method.length + url.length + LINE_OVERHEAD > REQUEST_LINE_BYTES) {
    throw new HttpError(414, 'The request line is too long', { Connection: 'close' });
  }
  // Nearly always there is nothing to do: small requests must be quick.
  if (url.startsWith('/') && !url.includes('%')) return next();
  // A proxy may send the whole URL.
  const [path = '', ...search] = url.replace(/^https?:\/\/[^/?]*/i, '').split('?');
  try {
    const plain = decodeURIComponent(path).split('/').map(encodeURIComponent).join('/');
    request.url = [plain || '/', ...search].join('?');
  } catch {
    throw new HttpError(400, 'The path is not valid');
  }
  next();
};

function serve(context: ImagesContext, route: Route, connections: WeakMap<object, Connection>): RequestHandler {
  return async (request, response) => {
    for (const [name, value] of corsHeaders(route, request)) response.setHeader(name, value);
    const handler = Object.hasOwn(route.methods, request.method)
      ? route.methods[request.method as keyof Route['methods']]
      : undefined;
    if (handler === undefined) {
      const allow = Object.keys(route.methods).join(',');
      throw new HttpError(405, `Method not allowed: ${request.method}`, { Allow: allow });
    }
    const connection = connections.get(request.socket) as Connection;
    const id = (request.params as Record<string, string>)[0] ?? '';
    const search = request.url.indexOf('?');
    const query = search === -1 ? NOTHING : new Map(new URLSearchParams(request.url.slice(search + 1)));
    await connection.serving(handler({ context, request, response, connection, id, query }));
  };
}

function errorHandler({ log }: ImagesContext, connections: WeakMap<object, Connection>): ErrorRequestHandler {
  // Express knows an error handler by its four parameters.
  return (thrown: unknown, request, response, _next) => {
    const error = asHttpError(thrown);
    const path = request.originalUrl.split('?', 1)[0]?.slice(0, 200);
    const line = { method: request.method, path, status: error.status, reason: error.message };
    if (error.status >= 500) log.warn({ ...line, err: error.cause ?? error }, 'a request failed');
    else log.debug({ ...line, ...(error.cause === undefined ? {} : { err: error.cause }) }, 'a request was refused');
    void answerError(request, response, error, connections.get(request.socket)?.cut);
  };
}
