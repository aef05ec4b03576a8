/** PUT /images/{id}: writes the body at an offset of the image. */

import { parseContentRange, writableRange } from '../data/header-ranges.js';
import { receiveBody } from '../data/receive-body.js';
import { answer } from '../http/answer.js';
import type { Exchange } from '../http/exchange.js';
import { HttpError } from '../http/http-error.js';
import { contentLength } from '../http/read-body.js';
import { closeHeader, needId, wish } from './asked.js';

export async function putImage(exchange: Exchange): Promise<void> {
  const { context, request, response, connection, query } = exchange;
  const { workers, buffers, tickets } = context;
  const id = needId(exchange);
  if (request.headers['transfer-encoding'] !== undefined) throw new HttpError(400, 'Content-Length is required');
  const length = BigInt(contentLength(request.headers['content-length']));
  const header = request.headers['content-range'];
  const start = header === undefined ? 0n : parseContentRange(header);
  const flush = wish(query, 'flush') ?? true;
  const close = wish(query, 'close') ?? false;
  const ticket = tickets.authorized(id, 'write');
  const range = writableRange(start, length, ticket.fields.size);
  const operation = ticket.begin('write', connection);
  try {
    const image = await connection.image(ticket);
    const { target } = image;
    const received = await receiveBody(request, range, {
      buffers,
      cut: connection.cut,
      canceling: ticket.canceling,
      async write({ buffer, offset, range: part }) {
        const control = ticket.control.memory;
        const input = { target, buffer, offset, length: part.length, position: part.start, control };
        await connection.waiting(workers.run('writeImage', input));
        operation.wrote(part);
      },
    });
    ticket.checkCanceled();
    if (received < range.length) throw new HttpError(400, `The body has ${received} of ${length} bytes`);
    if (flush) await connection.flush(ticket);
    ticket.touch();
  } finally {
    operation.end();
  }
  answer(response, 200, '', closeHeader(close));
}
