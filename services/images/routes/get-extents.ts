/** GET /images/{id}/extents: where the image holds data and where it reads as zeroes. */
import { once } from 'node:events';
import { unpack } from '../../../shared/ranges.js';
import { KiB } from '../../../shared/units.js';
import type { Handle } from '../../../workers/storage/handle.js';
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
    const size = await connection.waiting(image.size());
    const found = await connection.waiting(find(exchange, image.handle, size, ticket.control.memory, asked));
    ticket.touch();
    await send(exchange, found);
  } finally {
    operation.end();
  }
}

async function find(
  { context: { workers } }: Exchange,
  handle: Handle,
  size: number,
  control: SharedArrayBuffer,
  context: 'zero' | 'dirty',
): Promise<Iterable<object>> {
  const status = await workers.run('imageStatus', { handle, size, control, context: 'allocation' });
  if (context === 'dirty') {
    const dirty = await workers.run('imageStatus', { handle, size, control, context });
    if (dirty === null) throw new HttpError(404, 'The image has no dirty extents');
    return dirtyExtents(dirty, status ?? Float64Array.of(size, 0));
  }
  if (status !== null) return statusExtents(status);
  return extents(await workers.run('imageExtents', { handle, size, control }), size);
}

async function send({ response, connection }: Exchange, found: Iterable<object>): Promise<void> {
  // Its length is not known before all of it has been written down, which may be megabytes.
  response.writeHead(200, { 'Content-Type': 'application/json' });
  let text = '';
  let count = 0;
  for (const extent of found) {
    text += `${count === 0 ? '[' : ', '}${JSON.stringify(extent)}`;
    count += 1;
    if (count % BATCH !== 0) continue;
    if (!response.write(text)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
    if (connection.closed) return;
    text = '';
  }
  response.end(`${text}]\n`);
}

const HOLE = 1;
const ZERO = 2;
const DIRTY = 1;

/** As an NBD server says them. */
function* statusExtents(status: Float64Array): Generator<Extent> {
  let start = 0;
  for (const { length, flags } of unpackStatus(status)) {
    yield { start, length, zero: (flags & ZERO) !== 0, hole: (flags & HOLE) !== 0 };
    start += length;
  }
}

/** Two lists over the same bytes, cut wherever either of them changes. */
function* dirtyExtents(dirty: Float64Array, status: Float64Array): Generator<object> {
  const zeroes = unpackStatus(status);
  let known = zeroes.next();
  let left = known.done ? Infinity : known.value.length;
  let start = 0;
  for (const { length, flags } of unpackStatus(dirty)) {
    for (let rest = length; rest > 0; ) {
      const part = Math.min(rest, left);
      const zero = !known.done && (known.value.flags & ZERO) !== 0;
      yield { start, length: part, dirty: (flags & DIRTY) !== 0, zero };
      start += part;
      rest -= part;
      left -= part;
      if (left > 0) continue;
      known = zeroes.next();
      left = known.done ? Infinity : known.value.length;
    }
  }
}

function* unpackStatus(packed: Float64Array): Generator<{ length: number; flags: number }, undefined> {
  for (let i = 0; i + 1 < packed.length; i += 2) yield { length: packed[i] ?? 0, flags: packed[i + 1] ?? 0 };
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
