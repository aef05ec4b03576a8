/** GET /images/{id}: the bytes of the image, or of one range of it. */

import type { Range } from '../../../shared/units.js';
import { parseRange } from '../data/header-ranges.js';
import { sendBody } from '../data/send-body.js';
import type { Exchange } from '../http/exchange.js';
import { unsatisfiable } from '../http/http-error.js';
import { closeHeader, needId, wish } from './asked.js';

export async function getImage(exchange: Exchange): Promise<void> {
  const { context, request, response, connection, query } = exchange;
  const { workers, buffers, tickets } = context;
  const id = needId(exchange);
  const close = wish(query, 'close') ?? false;
  const ticket = tickets.authorized(id, 'read');
  const operation = ticket.begin('read', connection);
  try {
    const image = await connection.image(ticket);
    const { handle } = image;
    const imageSize = await connection.waiting(image.size());
    const { size, filename } = ticket.fields;
    const asked = request.headers.range;
    const range = settle(asked, size, imageSize);
    response.writeHead(asked === undefined ? 200 : 206, {
      'Content-Type': 'application/octet-stream',
      // Before Content-Length: what follows that Node decodes once more.
      'Content-Disposition': disposition(filename),
      'Content-Length': range.length,
      ...(asked === undefined ? {} : { 'Content-Range': contentRange(range, size) }),
      ...closeHeader(close),
    });
    const sent = await sendBody(response, range, {
      buffers,
      cut: connection.cut,
      canceling: ticket.canceling,
      read: (buffer, length, position) =>
        connection.waiting(workers.run('readImage', { handle, buffer, offset: 0, length, position })),
      sent: operation.moved,
    });
    // The header promised more: a connection that ends early is the only way to say so.
    if (!sent) return void response.destroy();
    ticket.touch();
    response.end();
  } finally {
    operation.end();
  }
}

/** @throws HttpError 416 */
function settle(asked: string | undefined, ticketSize: bigint, imageSize: number): Range {
  const end = Math.min(Number(ticketSize), imageSize);
  if (asked === undefined) return { start: 0, length: end };
  const { first, last } = parseRange(asked, ticketSize);
  if (first >= ticketSize || (last !== null && last >= ticketSize)) {
    throw unsatisfiable(`Range ${first} to ${last ?? 'the end'} is past the end of the ticket`, ticketSize);
  }
  if (first >= BigInt(end) || (last !== null && last >= BigInt(end))) {
    throw unsatisfiable(`Range ${first} to ${last ?? 'the end'} is past the end of the image`, end);
  }
  return { start: Number(first), length: (last === null ? end : Number(last) + 1) - Number(first) };
}

function contentRange({ start, length }: Range, ticketSize: bigint): string {
  return `bytes ${start}-${start + length - 1}/${ticketSize}`;
}

/** The name's UTF-8 bytes, as they are; Node writes headers byte by byte. Nothing that would end the header. */
function disposition(filename: string | null): string {
  if (filename === null) return 'attachment';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not get through
  const name = filename.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, '');
  return `attachment; filename=${Buffer.from(name, 'utf8').toString('latin1')}`;
}
