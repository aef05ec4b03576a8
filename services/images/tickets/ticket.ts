/**
 * A ticket: the right to read or write one image for a limited time (contract: shared facts of the imageio protocol,
 * docs/images.md). Knows its own clock, who uses it and what was moved; knows nothing of HTTP or disks.
 * Times are whole seconds of the monotonic clock; sizes are bytes and may be as large as 2^64.
 */
import { setMaxListeners } from 'node:events';
import { Coverage } from '../../../shared/coverage.js';
import type { Range } from '../../../shared/units.js';
import { ControlBlock } from '../../../workers/control.js';
import { HttpError } from '../http/http-error.js';
import type { ImageUrl } from './image-url.js';

export interface TicketFields {
  readonly uuid: string;
  readonly size: bigint;
  readonly ops: readonly string[];
  readonly timeout: bigint;
  readonly url: string;
  /** What `url` names; null for a ticket of a job, which brings its own storage. */
  readonly image: ImageUrl | null;
  readonly inactivityTimeout: bigint;
  readonly transferId: string;
  readonly filename: string | null;
  readonly sparse: boolean;
  readonly dirty: boolean;
}

export type TicketOp = 'read' | 'write';

/** Something that runs under a ticket: one request. */
export interface Operation {
  /** These bytes are moved; may be called for parts. */
  moved(range: Range): void;
  /** As `moved`, of a write whose system calls have all ended well. */
  wrote(range: Range): void;
  /** As `wrote`, of a zero. */
  zeroed(range: Range): void;
  /** Call once, however it ended. */
  end(): void;
}

/** A connection of a client: it says when it is gone (`leave`). */
export interface TicketUser {
  /** It uses the ticket from now on. */
  uses(ticket: Ticket): void;
}

export class Ticket {
  /** Stops what runs under the ticket before its next system call. */
  readonly control: ControlBlock;
  readonly #canceling = new AbortController();
  readonly #gone = new AbortController();
  readonly #connections = new Set<TicketUser>();
  readonly #moved = new Coverage();
  readonly #sent = new Coverage();
  /** Ranges of the image that now are what clients of this ticket sent or zeroed. */
  readonly written: Coverage;
  readonly #waiters: (() => void)[] = [];
  #operations = 0;
  #canceled = false;
  #expires: bigint;
  #lastAccessMs = performance.now();

  constructor(
    readonly fields: TicketFields,
    control: ControlBlock = new ControlBlock(),
    /** Packed ranges that are written from the start. */
    settled: readonly number[] = [],
  ) {
    this.control = control;
    this.written = new Coverage(settled);
    // One listener for each connection and operation: many are no leak.
    setMaxListeners(0, this.#canceling.signal, this.#gone.signal);
    this.#expires = nowSeconds() + fields.timeout;
  }

  get canceled(): boolean {
    return this.#canceled;
  }

  /** Aborted when the ticket is canceled: what waits for a client need not wait any more. */
  get canceling(): AbortSignal {
    return this.#canceling.signal;
  }

  /** Aborted when nobody can ask for the ticket any more; what has begun may still run. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  markGone(): void {
    this.#gone.abort();
  }

  get active(): boolean {
    return this.#operations > 0;
  }

  /** 0 while an operation runs. */
  get idleMs(): number {
    return this.active ? 0 : performance.now() - this.#lastAccessMs;
  }

  get movedBytes(): number {
    return this.#moved.bytes;
  }

  /** Distinct bytes of bodies that were written. */
  get sentBytes(): number {
    return this.#sent.bytes;
  }

  /**
   * Begins an operation; `connection` counts as one that uses the ticket until `leave`.
   * @throws HttpError 403  expired, canceled, or not a right that the ticket gives
   */
  begin(op: TicketOp, connection: TicketUser): Operation {
    this.allow(op);
    this.#connections.add(connection);
    connection.uses(this);
    this.#operations += 1;
    let ended = false;
    return {
      moved: (range) => this.#moved.add(range),
      wrote: (range) => {
        this.#moved.add(range);
        this.#sent.add(range);
        this.written.add(range);
      },
      zeroed: (range) => {
        this.#moved.add(range);
        this.written.add(range);
      },
      end: () => {
        if (ended) return;
        ended = true;
        this.#operations -= 1;
        this.#touch();
        if (this.#operations === 0) for (const wake of this.#waiters.splice(0)) wake();
      },
    };
  }

  /** @throws HttpError 403 */
  allow(op: TicketOp): void {
    const { uuid } = this.fields;
    this.checkCanceled();
    if (this.#expires <= nowSeconds()) throw new HttpError(403, `Ticket ${uuid} expired`);
    if (!this.may(op)) throw new HttpError(403, `Ticket ${uuid} forbids ${op}`);
  }

  /** For what has begun: that may go on when the ticket expires meanwhile. @throws HttpError 403 */
  checkCanceled(): void {
    if (this.#canceled) throw new HttpError(403, `Ticket ${this.fields.uuid} was canceled`);
  }

  may(op: TicketOp): boolean {
    const { ops } = this.fields;
    return ops.includes('write') || (op === 'read' && ops.includes('read'));
  }

  /** A request ended well: the ticket lives on for its time-out. */
  touch(): void {
    this.#expires = nowSeconds() + this.fields.timeout;
    this.#touch();
  }

  /** From now on it lasts so many seconds; its time-out and idle time stay. */
  extend(seconds: bigint): void {
    this.#expires = nowSeconds() + seconds;
  }

  leave(connection: TicketUser): void {
    this.#connections.delete(connection);
  }

  /** Nothing new begins; what runs stops at its next buffer. */
  cancel(): void {
    this.control.stop();
    this.revoke();
  }

  /** As `cancel`, but leaves the control block, which may be a job's, as it is. */
  revoke(): void {
    this.#canceled = true;
    this.#canceling.abort();
  }

  /** @returns false when operations still run after so many ms */
  async idle(patienceMs: number): Promise<boolean> {
    if (!this.active) return true;
    return await new Promise((resolve) => {
      const timer = patienceMs === Infinity ? undefined : setTimeout(() => resolve(false), patienceMs);
      this.#waiters.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  /** As the control service shows it: the keys and their order are the protocol's. */
  toView(): Record<string, unknown> {
    const { fields } = this;
    return {
      active: this.active,
      canceled: this.#canceled,
      connections: this.#connections.size,
      expires: this.#expires,
      idle_time: Math.floor(this.idleMs / 1000),
      inactivity_timeout: fields.inactivityTimeout,
      ops: fields.ops,
      size: fields.size,
      sparse: fields.sparse,
      dirty: fields.dirty,
      timeout: fields.timeout,
      url: fields.url,
      uuid: fields.uuid,
      transfer_id: fields.transferId,
      ...(fields.filename === null ? {} : { filename: fields.filename }),
      // Of one that is both read and written, a sum of both would say nothing.
      ...(fields.ops.length > 1 ? {} : { transferred: this.movedBytes }),
    };
  }

  #touch(): void {
    this.#lastAccessMs = performance.now();
  }
}

function nowSeconds(): bigint {
  return process.hrtime.bigint() / 1_000_000_000n;
}
