/** GET /images/{id}/extents: where the image holds data and where it reads as zeroes. */
import { once } from 'node:events';
import { unpack } from '../../../shared/ranges.js';
import { KiB } from '../../../shared/units.js';
import type { Exchange } from '../http/exchange.js';
import { HttpError } from '../http/http-error.js';
import { needId } from './asked.js';

/** From so many extents on, holes shorter than this are not worth a request of their own. */
const MANY = 10_000;
const SHORT = 64 * KiB;
/** Sent at once. */
const BATCH = 1000;

interface Extent {
  readonly start: number;
  readonly length: number;
  readonly zero: boolean;
  readonly hole: boolean;
}

export async function getExtents(exchange: Exchange): Promise<void> {
  const { context, connection, query } = exchange;
  const id = needId(exchange);
  const asked = query.get('context') ?? 'zero';
  if (asked !== 'zero' && asked !== 'dirty')
    throw new HttpError(400, 'Invalid value for context: must be zero or dirty');
  const ticket = context.tickets.authorized(id, 'read');
  const operation = ticket.begin('read', connection);
  try {
    const image = await connection.image(ticket);
    if (asked === 'dirty') throw new HttpError(404, 'The image has no dirty extents');
    const size = await connection.waiting(image.size());
    const control = ticket.control.memory;
    const data = await connection.waiting(context.workers.run('imageExtents', { handle: image.handle, size, control }));
    ticket.touch();
    await send(exchange, data, size);
  } finally {
    operation.end();
  }
}

async function send({ response, connection }: Exchange, data: Float64Array, size: number): Promise<void> {
  // Its length is not known before all of it has been written down, which may be megabytes.
  response.writeHead(200, { 'Content-Type': 'application/json' });
  let text = '';
  let count = 0;
  for (const extent of extents(data, size)) {
    text += `${count === 0 ? '[' : ', '}${JSON.stringify(extent)}`;
    count += 1;
    if (count % BATCH !== 0) continue;
    if (!response.write(text)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
    if (connection.closed) return;
    text = '';
  }
  response.end(`${text}]\n`);
}

/** Covers [0, size) without a gap; an empty image is one empty extent, since clients take the size from the last. */
function* extents(data: Float64Array, size: number): Generator<Extent> {
  const shortest = data.length / 2 > MANY ? SHORT : 0;
  let end = 0;
  let dataStart = 0;
  for (const range of unpack(data)) {
    if (range.start - end >= Math.max(shortest, 1)) {
      if (end > dataStart) yield { start: dataStart, length: end - dataStart, zero: false, hole: false };
      yield { start: end, length: range.start - end, zero: true, hole: false };
      dataStart = range.start;
    }
    end = range.start + range.length;
  }
  if (end > dataStart || size === 0) yield { start: dataStart, length: end - dataStart, zero: false, hole: false };
  if (size > end) yield { start: end, length: size - end, zero: true, hole: false };
}
