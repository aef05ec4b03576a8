/** OPTIONS /images/{id}: what a client can do with a ticket, and how many connections it may use. */

import { answerJson } from '../http/answer.js';
import type { Exchange } from '../http/exchange.js';
import { needId } from './asked.js';

const READ = ['checksum', 'extents'];
const ALL = ['checksum', 'extents', 'flush', 'zero'];

export function optionsImage(exchange: Exchange): void {
  const { context, response, connection } = exchange;
  const id = needId(exchange);
  const unixSocket = context.localSocket === null ? {} : { unix_socket: context.localSocket };
  if (id === '*') {
    answerJson(response, { features: ALL, ...unixSocket }, { Allow: 'OPTIONS,GET,PUT,PATCH' });
    return;
  }
  const ticket = context.tickets.authorized(id, 'read');
  const operation = ticket.begin('read', connection);
  const write = ticket.may('write');
  const most = context.maxConnections;
  operation.end();
  ticket.touch();
  answerJson(
    response,
    { features: write ? ALL : READ, max_readers: most, max_writers: most, ...unixSocket },
    { Allow: write ? 'OPTIONS,GET,PUT,PATCH' : 'OPTIONS,GET' },
  );
}
