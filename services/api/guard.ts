/**
 * Who may call: the bearer token, or without one only programs of this machine.
 * Without a token we listen on loopback only (`shared/config.ts`), but a web page in this machine's browser can
 * reach that too. So then: the Host must be a loopback name (a page of another name that resolves to us is
 * refused: DNS rebinding), and an Origin, which browsers send with every cross-site write, must be our own.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { RequestHandler } from 'express';
import type { Config } from '../../shared/config.js';
import { FerryError } from '../../shared/errors.js';

interface Guarded {
  readonly config: Pick<Config, 'api'>;
}

/** @throws FerryError UNAUTHORIZED (by next) */
export function tokenGuard({ config }: Guarded): RequestHandler {
  const { token } = config.api;
  if (token === null) return (_request, _response, next) => next();
  const expected = digest(token);
  return (request, _response, next) => {
    const given = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')?.[1];
    // Digests have one length, so the comparison tells nothing, not even how long the token is.
    if (given !== undefined && timingSafeEqual(digest(given), expected)) return next();
    const message = request.headers.authorization === undefined ? 'a bearer token is needed' : 'the token is not valid';
    next(new FerryError('UNAUTHORIZED', message));
  };
}

/** @throws FerryError BAD_REQUEST (by next) */
export function browserGuard({ config }: Guarded): RequestHandler {
  const { token, host: configured } = config.api;
  return (request, _response, next) => {
    const { host, origin } = request.headers;
    const name = hostName(host);
    if (name === null) return next(new FerryError('BAD_REQUEST', 'Host: must be a name or an address'));
    if (token !== null) return next();
    if (!isLoopbackName(name) && name !== configured.toLowerCase()) {
      return next(new FerryError('BAD_REQUEST', 'Host: without a token only loopback names are served'));
    }
    if (origin !== undefined && origin.toLowerCase() !== `http://${host?.toLowerCase()}`) {
      return next(new FerryError('BAD_REQUEST', 'Origin: without a token web pages of other sites are not served'));
    }
    next();
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** The name in a Host header without port and brackets; null when it is none. */
function hostName(host: string | undefined): string | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d+)?$/i.exec(host ?? '');
  return (match?.[1] ?? match?.[2])?.toLowerCase() ?? null;
}

function isLoopbackName(name: string): boolean {
  return name === 'localhost' || name === '::1' || /^127(\.\d{1,3}){3}$/.test(name);
}
