/**
 * Where an NBD export is, in the forms that people and oVirt write it, and the one form that libnbd is given.
 * Facts: the NBD URI specification (doc/uri.md of the protocol), the imageio protocol's ticket urls.
 */
import { FerryError } from './errors.js';

export type NbdAddress =
  | { readonly transport: 'tcp'; readonly host: string; readonly port: number; readonly exportName: string }
  | { readonly transport: 'unix'; readonly socket: string; readonly exportName: string };

const DEFAULT_PORT = 10809;
/** The protocol's limit. */
const MOST_NAME_BYTES = 4096;

/**
 * `nbd://host[:port]/EXPORT`, `nbd+unix:///EXPORT?socket=/path`, `nbd:unix:/path[:exportname=EXPORT]` or
 * `nbd:host:port[:exportname=EXPORT]`.
 * @param field  for the error, such as `source.uri`
 * @throws FerryError BAD_REQUEST  anything else; TLS and other transports are not supported
 */
export function parseNbdUri(text: string, field: string): NbdAddress {
  const address = /^nbd(\+unix)?:\/\//i.test(text) ? fromUri(text) : fromTicket(text);
  if (address === null || !isExact(address)) {
    const forms = 'nbd://host:port/export or nbd+unix:///export?socket=/path';
    throw new FerryError('BAD_REQUEST', `${field}: must be ${forms}, without TLS`, { field });
  }
  return address;
}

/** The form that means the same export whatever it was written as. */
export function formatNbdUri(address: NbdAddress): string {
  const name = encodeURIComponent(address.exportName);
  if (address.transport === 'unix') return `nbd+unix:///${name}?socket=${encodeURIComponent(address.socket)}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `nbd://${host}:${address.port}/${name}`;
}

/** Whether the server is given these very names: C ends a string at a NUL, and half a surrogate pair has no UTF-8. */
function isExact(address: NbdAddress): boolean {
  const names = [address.exportName, address.transport === 'unix' ? address.socket : address.host];
  const sound = names.every((name) => !name.includes('\0') && Buffer.from(name).toString() === name);
  return sound && Buffer.byteLength(address.exportName) <= MOST_NAME_BYTES;
}

function fromUri(text: string): NbdAddress | null {
  const match = /^nbd(\+unix)?:\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/i.exec(text);
  if (match === null) return null;
  const [, unix, authority = '', path = '', query = ''] = match;
  const exportName = decode(path);
  if (exportName === null) return null;
  if (unix !== undefined) {
    // Not a form of the web: a plus sign in a path is one.
    const socket = decode(/^socket=([^&]*)$/.exec(query)?.[1] ?? '');
    return authority === '' && socket?.startsWith('/') ? { transport: 'unix', socket, exportName } : null;
  }
  const place = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?$/i.exec(authority);
  if (place === null || query !== '') return null;
  return tcp(place[1] as string, place[2] ?? String(DEFAULT_PORT), exportName);
}

function fromTicket(text: string): NbdAddress | null {
  const unix = /^nbd:unix:(\/.*?)(?::exportname=(.*))?$/s.exec(text);
  if (unix !== null) return { transport: 'unix', socket: unix[1] as string, exportName: unix[2] ?? '' };
  const place = /^nbd:(\[[0-9a-f:.]+\]|[a-z0-9._-]+):(\d{1,5})(?::exportname=(.*))?$/is.exec(text);
  return place === null ? null : tcp(place[1] as string, place[2] as string, place[3] ?? '');
}

function tcp(host: string, portText: string, exportName: string): NbdAddress | null {
  const port = Number(portText);
  if (port < 1 || port > 65535) return null;
  return { transport: 'tcp', host: host.replace(/^\[|\]$/g, '').toLowerCase(), port, exportName };
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
