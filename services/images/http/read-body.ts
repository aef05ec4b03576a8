/** A small JSON body as text. */
import type { Exchange } from './exchange.js';
import { HttpError } from './http-error.js';

const MOST_BYTES = 1024 * 1024;
const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** @throws HttpError 400 (cut short, not UTF-8, no Content-Length), 413 */
export async function readText({ request, connection }: Exchange): Promise<string> {
  const length = contentLength(request.headers['content-length']);
  if (length > MOST_BYTES) throw new HttpError(413, 'The body is too large');
  const chunks: Buffer[] = [];
  let received = 0;
  await new Promise<void>((resolve) => {
    const done = () => resolve();
    request.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      received += chunk.length;
      if (received >= length) done();
    });
    request.once('end', done);
    if (length === 0 || connection.cut.aborted) done();
    connection.cut.addEventListener('abort', done, { once: true });
    request.once('close', () => connection.cut.removeEventListener('abort', done));
  });
  if (received < length) throw new HttpError(400, 'The body is shorter than Content-Length says');
  try {
    return UTF8.decode(Buffer.concat(chunks));
  } catch {
    throw new HttpError(400, 'The body is not valid UTF-8');
  }
}

/** @throws HttpError 400  missing, or no whole number */
export function contentLength(header: string | undefined): number {
  if (header === undefined) throw new HttpError(400, 'Content-Length is required');
  if (!/^\d+$/.test(header)) throw new HttpError(400, `Invalid Content-Length: ${JSON.stringify(header)}`);
  return Number(header);
}
