/**
 * One connection of a client. Requests that it pipelines run one after another, since a later one may read what an
 * earlier one writes. It is idle while we wait for the client, never while we wait for the storage; an idle one is
 * closed. Tickets that it used and images that it opened are let go when it closes.
 */
import type { Socket } from 'node:net';
import type { OpenImage, OpenImages } from '../open-images.js';
import type { Ticket, TicketUser } from '../tickets/ticket.js';

/** Before a ticket gives its own, and on the control service. */
const FIRST_IDLE_MS = 60_000;
/** Requests that wait for their turn: while there are more, nothing is read. */
const MANY_WAITING = 64;
/** Node goes on reading now and then all the same. A client that is so far ahead of its answers is none. */
const MOST_WAITING = 20_000;
/** The longest that a timer can wait. */
const MOST_IDLE_MS = 2 ** 31 - 1;

interface Held {
  readonly image: Promise<OpenImage>;
  /** Of the image: how many flushes had failed when this connection last had an answer to one of its own. */
  knownFailures: number | null;
}

export class Connection implements TicketUser {
  /** What came cannot be understood, nor what comes after it. */
  isBroken = false;
  readonly #held = new Map<Ticket, Held>();
  /** Those that it used, and what to do when nobody can ask for one any more. */
  readonly #tickets = new Map<Ticket, () => void>();
  readonly #cut = new AbortController();
  #tail: Promise<void> = Promise.resolve();
  #idleMs = FIRST_IDLE_MS;
  #waiting = 0;
  #holding = false;
  #storageCalls = 0;
  #serving = 0;
  #closed = false;

  constructor(
    readonly socket: Socket,
    private readonly images: OpenImages,
  ) {
    socket.setTimeout(this.#idleMs);
    socket.once('close', () => {
      this.#closed = true;
      this.#cut.abort();
      this.#letGo();
    });
  }

  /** Aborted when no more of a request can come: the client is gone, or has closed its side in the middle of a body. */
  get cut(): AbortSignal {
    return this.#cut.signal;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The client has said that nothing more comes. */
  bodyIsCut(): void {
    this.#cut.abort();
  }

  /** A request is served: what it uses stays open until that has ended. */
  async serving(work: Promise<void> | void): Promise<void> {
    this.#serving += 1;
    try {
      await work;
    } finally {
      this.#serving -= 1;
      if (this.#closed) this.#letGo();
    }
  }

  /** Runs `work` when all that was asked for before is answered. It must not throw. */
  enqueue(work: () => Promise<void>): void {
    this.#waiting += 1;
    if (this.#waiting > MOST_WAITING) this.socket.destroy();
    this.#holdBack();
    this.#tail = this.#tail.then(work).then(() => {
      this.#waiting -= 1;
      this.#holdBack();
      if (this.#waiting === MANY_WAITING) this.socket.resume();
    });
  }

  /** Node resumes a socket at the end of each request and of each answer, so this comes after that. */
  #holdBack(): void {
    if (this.#waiting <= MANY_WAITING || this.#holding) return;
    this.#holding = true;
    setImmediate(() => {
      this.#holding = false;
      if (this.#waiting > MANY_WAITING) this.socket.pause();
    });
  }

  /** A ticket was used: how long this connection may be idle is its choice now. */
  uses(ticket: Ticket): void {
    if (!this.#tickets.has(ticket)) {
      const onGone = () => void ticket.idle(Infinity).then(() => this.#drop(ticket));
      this.#tickets.set(ticket, onGone);
      ticket.gone.addEventListener('abort', onGone, { once: true });
    }
    this.#idleMs = Math.min(Number(ticket.fields.inactivityTimeout) * 1000, MOST_IDLE_MS);
    this.socket.setTimeout(this.#idleMs);
  }

  /** The client was silent for the whole idle time. */
  timedOut(): void {
    if (this.#storageCalls === 0) this.socket.destroy();
    else this.socket.setTimeout(this.#idleMs);
  }

  /** Waits for something that is not the client: the connection is not idle meanwhile. */
  async waiting<T>(work: Promise<T>): Promise<T> {
    this.#storageCalls += 1;
    try {
      return await work;
    } finally {
      this.#storageCalls -= 1;
    }
  }

  /**
   * The image of a ticket, opened by the first that needs it and kept while the connection lasts.
   * @throws FerryError what opening throws; the next request tries again
   */
  async image(ticket: Ticket): Promise<OpenImage> {
    let held = this.#held.get(ticket);
    if (held === undefined) {
      const opening = this.images.open(ticket);
      held = { image: opening, knownFailures: null };
      this.#held.set(ticket, held);
      // Kept for the others only when it went well.
      opening.catch(() => this.#held.delete(ticket));
    }
    const image = await this.waiting(held.image);
    held.knownFailures ??= image.failedFlushes;
    return image;
  }

  /**
   * Flushes the image of a ticket: all that any connection wrote. A flush that failed for one connection fails for
   * each of the others too, once: the kernel reports a lost write to whoever asks first.
   * @throws FerryError FLUSH_FAILED, STORAGE_*
   */
  async flush(ticket: Ticket): Promise<void> {
    const image = await this.image(ticket);
    const held = this.#held.get(ticket);
    try {
      await this.waiting(image.flush(held?.knownFailures ?? image.failedFlushes));
    } finally {
      if (held !== undefined) held.knownFailures = image.failedFlushes;
    }
  }

  #letGo(): void {
    if (this.#serving > 0) return;
    for (const ticket of [...this.#tickets.keys()]) this.#drop(ticket);
  }

  #drop(ticket: Ticket): void {
    const onGone = this.#tickets.get(ticket);
    if (onGone !== undefined) ticket.gone.removeEventListener('abort', onGone);
    this.#tickets.delete(ticket);
    ticket.leave(this);
    const held = this.#held.get(ticket);
    this.#held.delete(ticket);
    held?.image.then(
      (image) => this.images.release(image),
      () => {},
    );
  }
}
