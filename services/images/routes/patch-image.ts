/** PATCH /images/{id}: zeroes a range, or makes everything durable. */

import { writableRange } from '../data/header-ranges.js';
import { answer } from '../http/answer.js';
import type { Exchange } from '../http/exchange.js';
import { HttpError } from '../http/http-error.js';
import { readText } from '../http/read-body.js';
import { isBoolean, isInteger, isString, optional, parseObject, required } from '../tickets/ticket-request.js';
import { needId } from './asked.js';

type Asked = { readonly op: 'flush' } | { readonly op: 'zero'; start: bigint; length: bigint; flush: boolean };

export async function patchImage(exchange: Exchange): Promise<void> {
  const { context, response, connection } = exchange;
  const { tickets, workers } = context;
  const id = needId(exchange);
  const asked = parse(await readText(exchange));
  const ticket = tickets.authorized(id, 'write');
  const { size, sparse } = ticket.fields;
  const range = asked.op === 'zero' ? writableRange(asked.start, asked.length, size) : null;
  const operation = ticket.begin('write', connection);
  try {
    const { target } = await connection.image(ticket);
    if (range !== null && range.length > 0) {
      const allocation = sparse ? 'sparse' : 'preallocated';
      const control = ticket.control.memory;
      await connection.waiting(workers.run('zeroImage', { target, range, allocation, control }));
      operation.zeroed(range);
    }
    if (asked.op === 'flush' || asked.flush) await connection.flush(ticket);
    ticket.touch();
  } finally {
    operation.end();
  }
  answer(response, 200);
}

/** @throws HttpError 400 */
function parse(body: string): Asked {
  const fields = parseObject(body);
  const op = required(fields, 'op', isString, 'a string');
  if (op === 'flush') return { op };
  if (op !== 'zero') throw new HttpError(400, `Unknown operation: ${JSON.stringify(op)}`);
  const position = isInteger(2n ** 64n);
  return {
    op,
    length: required(fields, 'size', position, 'a whole number of bytes'),
    start: optional(fields, 'offset', position, 'a whole number of bytes') ?? 0n,
    flush: optional(fields, 'flush', isBoolean, 'true or false') ?? false,
  };
}
