/** What a source or target is called: in messages, lists and holds. */
import { formatNbdUri, parseNbdUri } from './nbd-uri.js';

type Named = { readonly path: string } | { readonly uri: string } | { readonly type: 'client' };

/** A path as the client wrote it, or the one URI that means the export. */
export function storageName(storage: Named): string {
  if ('path' in storage) return storage.path;
  return 'uri' in storage ? formatNbdUri(parseNbdUri(storage.uri, 'uri')) : 'client';
}
