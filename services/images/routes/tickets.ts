/** /tickets/{id}, of the control service: who may read and write what. */
import { stringify } from 'lossless-json';
import { answer } from '../http/answer.js';
import type { Exchange } from '../http/exchange.js';
import { HttpError } from '../http/http-error.js';
import { readText } from '../http/read-body.js';
import { Ticket } from '../tickets/ticket.js';
import { parseExtension, parseTicket } from '../tickets/ticket-request.js';
import { needId } from './asked.js';

export async function putTicket(exchange: Exchange): Promise<void> {
  const { context, response } = exchange;
  const id = needId(exchange);
  const fields = parseTicket(await readText(exchange), id, context.inactivityTimeoutSeconds);
  context.tickets.add(new Ticket(fields));
  const { uuid, url, ops, size } = fields;
  context.log.info({ ticket: uuid, url, ops, bytes: Number(size), transfer: fields.transferId }, 'ticket added');
  answer(response, 200);
}

export function getTicket(exchange: Exchange): void {
  const { context, response } = exchange;
  const id = needId(exchange);
  const ticket = context.tickets.find(id);
  if (ticket === undefined) throw unknown(id);
  answer(response, 200, `${stringify(ticket.toView())}\n`, { 'Content-Type': 'application/json' });
}

export async function patchTicket(exchange: Exchange): Promise<void> {
  const { context, response } = exchange;
  const id = needId(exchange);
  const seconds = parseExtension(await readText(exchange));
  const ticket = context.tickets.find(id);
  if (ticket === undefined) throw unknown(id);
  ticket.extend(seconds);
  context.log.info({ ticket: id, seconds: Number(seconds) }, 'ticket extended');
  answer(response, 200);
}

export async function deleteTicket(exchange: Exchange): Promise<void> {
  const { context, response, connection, id } = exchange;
  const { tickets, removeTimeoutSeconds, log } = context;
  const patienceMs = removeTimeoutSeconds * 1000;
  const removed = await connection.waiting(id === '' ? tickets.clear(patienceMs) : tickets.remove(id, patienceMs));
  if (!removed) throw new HttpError(409, `Ticket ${id} is in use; it is canceled, repeat this later`);
  log.info({ ticket: id === '' ? '(all)' : id }, 'ticket removed');
  answer(response, 204);
}

function unknown(id: string): HttpError {
  return new HttpError(404, `No such ticket: ${id}`);
}
