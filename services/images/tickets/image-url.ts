/** What the `url` of a ticket names. */
import { type NbdAddress, parseNbdUri } from '../../../shared/nbd-uri.js';
import { asHttpError, HttpError } from '../http/http-error.js';

export type ImageUrl =
  | { readonly type: 'file'; readonly path: string }
  | { readonly type: 'nbd'; readonly address: NbdAddress };

/** @throws HttpError 400  it cannot be parsed, or its scheme is not supported */
export function parseImageUrl(text: string): ImageUrl {
  const match = /^([a-z][a-z0-9+.-]*):(.*)$/is.exec(text);
  if (match === null) throw new HttpError(400, `Invalid url: ${JSON.stringify(text)} has no scheme`);
  const [, scheme = '', rest = ''] = match;
  if (scheme.toLowerCase() === 'file') return { type: 'file', path: filePath(text, rest) };
  if (/^nbd(\+unix)?$/i.test(scheme)) return { type: 'nbd', address: nbdAddress(text) };
  throw new HttpError(400, `Unsupported url scheme: ${JSON.stringify(scheme)}`);
}

function filePath(text: string, rest: string): string {
  const path = /^\/\/(?:localhost)?(\/[^\0]*)$/.exec(rest)?.[1];
  if (path === undefined) throw new HttpError(400, `Invalid url: ${JSON.stringify(text)} must be file:///path`);
  try {
    return decodeURIComponent(path);
  } catch {
    // A percent sign that encodes nothing stands for itself.
    return path;
  }
}

function nbdAddress(text: string): NbdAddress {
  try {
    return parseNbdUri(text, 'url');
  } catch (thrown) {
    throw asHttpError(thrown);
  }
}
