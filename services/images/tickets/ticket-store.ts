/** The tickets of this node, in memory only: a node that ends takes its tickets with it. */
import { HttpError } from '../http/http-error.js';
import type { Ticket, TicketOp } from './ticket.js';

export class TicketStore {
  readonly #tickets = new Map<string, Ticket>();

  get size(): number {
    return this.#tickets.size;
  }

  add(ticket: Ticket): void {
    const { uuid } = ticket.fields;
    const replaced = this.#tickets.get(uuid);
    this.#tickets.set(uuid, ticket);
    // Whoever still runs under the old one goes on with what the old one allowed.
    replaced?.markGone();
  }

  find(id: string): Ticket | undefined {
    return this.#tickets.get(id);
  }

  /** @throws HttpError 403  there is none, or it does not allow `op` now */
  authorized(id: string, op: TicketOp): Ticket {
    const ticket = this.#tickets.get(id);
    if (ticket === undefined) throw new HttpError(403, `No such ticket: ${id}`);
    ticket.allow(op);
    return ticket;
  }

  /**
   * Cancels a ticket and forgets it when nothing runs under it any more.
   * @param patienceMs  how long to wait for that; 0: it is forgotten at once
   * @returns false when operations still run: the ticket stays, canceled
   */
  async remove(id: string, patienceMs: number): Promise<boolean> {
    const ticket = this.#tickets.get(id);
    if (ticket === undefined) return true;
    ticket.cancel();
    if (patienceMs > 0 && !(await ticket.idle(patienceMs))) return false;
    if (this.#tickets.get(id) === ticket) {
      this.#tickets.delete(id);
      ticket.markGone();
    }
    return true;
  }

  /** Of a ticket whose operations have ended. */
  forget(ticket: Ticket): void {
    if (this.#tickets.get(ticket.fields.uuid) === ticket) this.#tickets.delete(ticket.fields.uuid);
    ticket.markGone();
  }

  /** As `remove`, of all. */
  async clear(patienceMs: number): Promise<boolean> {
    const removed = await Promise.all([...this.#tickets.keys()].map((id) => this.remove(id, patienceMs)));
    return removed.every(Boolean);
  }
}
