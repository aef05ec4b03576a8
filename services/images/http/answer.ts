/**
 * How an answer leaves: its headers, and for an error the care that the client can read it although it may still be
 * sending a body that nobody wants.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HttpError } from './http-error.js';

/** How long a client may go on sending after an error before the connection is closed under it. */
const DRAIN_MS = 10_000;

export function answer(
  response: ServerResponse,
  status: number,
  body: string | Buffer = '',
  headers: Readonly<Record<string, string | number>> = {},
): void {
  response.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

export function answerJson(
  response: ServerResponse,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  answer(response, 200, `${JSON.stringify(value)}\n`, { 'Content-Type': 'application/json', ...headers });
}

/**
 * Resolves when the answer is sent and nothing of the request is left unread.
 * @param cut  aborted when nothing more of the request can come
 */
export async function answerError(
  request: IncomingMessage,
  response: ServerResponse,
  error: HttpError,
  cut: AbortSignal | undefined,
): Promise<void> {
  if (response.headersSent) {
    // Too late for an error: a body that ends early is what the client must see.
    response.destroy();
    return;
  }
  const isCut = cut?.aborted === true;
  const unread = !request.complete && !isCut;
  const body = textOf(error);
  response.writeHead(error.status, {
    'Content-Type': 'text/plain; charset=UTF-8',
    'Content-Length': Buffer.byteLength(body),
    ...error.headers,
    // A client without a valid ticket has nothing more to say here.
    ...(unread || isCut || error.status === 403 ? { Connection: 'close' } : {}),
  });
  if (!unread) return void response.end(body);
  // To close the connection now would reset it under what is still coming, and the client might never read why. So we
  // only say that this was all, and throw away what comes until the client has seen that.
  response.write(body);
  request.socket.end();
  await drained(request, response);
  response.end();
}

/** One sentence and a newline. */
export function textOf(error: HttpError): string {
  return `${error.message.replaceAll(/\s+/g, ' ').trim()}\n`;
}

async function drained(request: IncomingMessage, response: ServerResponse): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(done, DRAIN_MS);
    request.once('end', done);
    request.once('close', done);
    response.once('close', done);
    request.removeAllListeners('data');
    request.resume();
  });
}
