/**
 * What Node's parser refuses before any handler sees it: answered as the protocol says, behind the answers to earlier
 * requests of the same connection.
 */
import type { Socket } from 'node:net';
import { textOf } from './answer.js';
import type { Connection } from './connection.js';
import { HttpError } from './http-error.js';

/** Longer request lines are refused. */
export const REQUEST_LINE_BYTES = 4096;
/** Room for the client to read the answer before we close under what it may still send. */
const LINGER_MS = 2000;

export type ParseError = Error & { readonly code?: string; readonly rawPacket?: Buffer };

export function answerMalformed(connection: Connection, error: ParseError): void {
  const { socket } = connection;
  // Node tells of the same error again with all that comes after it.
  if (connection.isBroken) return;
  // The client closed its side in the middle of a body: who waits for the rest of it answers.
  if (error.code === 'HPE_INVALID_EOF_STATE') {
    connection.bodyIsCut();
    connection.enqueue(async () => {
      socket.end();
    });
    return;
  }
  if (!socket.writable || error.code === 'ECONNRESET' || error.code === undefined) {
    socket.destroy();
    return;
  }
  connection.isBroken = true;
  connection.enqueue(async () => linger(socket, rawAnswer(refusalOf(error))));
}

/** Node gives a CONNECT a socket instead of a response. */
export function answerConnect(connection: Connection): void {
  connection.enqueue(async () =>
    linger(connection.socket, rawAnswer(new HttpError(405, 'Method not allowed: CONNECT'))),
  );
}

function refusalOf({ code, rawPacket }: ParseError): HttpError {
  switch (code) {
    case 'HPE_INVALID_METHOD':
      return new HttpError(405, 'Method not allowed');
    case 'HPE_HEADER_OVERFLOW':
      return lineIsLong(rawPacket)
        ? new HttpError(414, 'The request line is too long')
        : new HttpError(431, 'The headers are too large');
    case 'HPE_INVALID_CONTENT_LENGTH':
    case 'HPE_UNEXPECTED_CONTENT_LENGTH':
      return new HttpError(400, 'Invalid Content-Length');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new HttpError(408, 'The request did not arrive in time');
    default:
      return new HttpError(400, 'The request is malformed');
  }
}

/** Of what could be kept of it. */
function lineIsLong(packet: Buffer | undefined): boolean {
  const line = packet?.indexOf('\n') ?? -1;
  return packet !== undefined && packet.length > REQUEST_LINE_BYTES && (line === -1 || line > REQUEST_LINE_BYTES);
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  414: 'URI Too Long',
  431: 'Request Header Fields Too Large',
};

function rawAnswer(error: HttpError): string {
  const body = textOf(error);
  return [
    `HTTP/1.1 ${error.status} ${REASONS[error.status]}`,
    `Date: ${new Date().toUTCString()}`,
    'Content-Type: text/plain; charset=UTF-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}

function linger(socket: Socket, text: string): void {
  socket.end(text);
  // The parser reads no more; what still comes is thrown away, so that closing does not reset the connection.
  socket.removeAllListeners('data');
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
}
