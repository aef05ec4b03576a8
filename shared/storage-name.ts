/** What a source or target is called: in messages, lists and holds. */
import { formatNbdUri, parseNbdUri } from './nbd-uri.js';

/** A path as the client wrote it, or the one URI that means the export. */
export function storageName(storage: { readonly path: string } | { readonly uri: string }): string {
  return 'uri' in storage ? formatNbdUri(parseNbdUri(storage.uri, 'uri')) : storage.path;
}
