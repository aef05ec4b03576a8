/** When the upkeep of the job store runs: regularly, soon after trouble, and never twice at once. */
import { FerryError } from '../errors.js';
import type { Log } from '../log.js';

export interface Chores {
  /** @returns number of jobs that need another look soon */
  outbox(): Promise<number>;
  sweep(): Promise<void>;
}

const REGULAR_MS = 30_000;
/** A node that died between ending a disk and scheduling the next one of its batch leaves a place empty for so long. */
const OUTBOX_MS = 3000;
const SOON_MS = 500;
// Between two regular runs so many jobs may end before their number is looked at.
const ENDED_BEFORE_SWEEP = 500;

export class Maintenance {
  readonly #chores: Chores;
  readonly #log: Log;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #sweepDue = 0;
  #endedJobs = 0;
  #dueAt = Number.POSITIVE_INFINITY;
  #stopped = false;
  /** Asked for while it ran: what came meanwhile may have been missed. */
  #again = false;

  constructor(log: Log, chores: Chores) {
    this.#log = log;
    this.#chores = chores;
  }

  start(): void {
    this.#sweepDue = Date.now() + REGULAR_MS;
    this.#arm(OUTBOX_MS);
  }

  /** Looks at the outbox in half a second, for instance because an earlier run of a job is just leaving BullMQ. */
  soon(): void {
    this.#arm(SOON_MS);
  }

  /** Looks at the outbox at once: a job is known to be in it. */
  now(): void {
    if (this.#stopped) return;
    if (this.#running === undefined) this.#tick();
    else this.#again = true;
  }

  /** A job ended: many of them make the retention due. */
  ended(): void {
    if (++this.#endedJobs < ENDED_BEFORE_SWEEP) return;
    this.#sweepDue = 0;
    this.soon();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  /** Runs in about that time, or earlier when that was asked for before. */
  #arm(delayMs: number): void {
    // Jitter: many processes share the work by meeting rarely.
    const dueAt = Date.now() + delayMs * (0.8 + Math.random() * 0.4);
    if (this.#stopped || dueAt >= this.#dueAt) return;
    this.#dueAt = dueAt;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tick(), dueAt - Date.now());
    this.#timer.unref();
  }

  #tick(): void {
    clearTimeout(this.#timer);
    this.#dueAt = Number.POSITIVE_INFINITY;
    if (this.#running !== undefined) {
      this.#arm(SOON_MS);
      return;
    }
    this.#running = this.#work().finally(() => {
      this.#running = undefined;
      if (!this.#again) return;
      this.#again = false;
      this.now();
    });
  }

  async #work(): Promise<void> {
    let next = OUTBOX_MS;
    try {
      if ((await this.#chores.outbox()) > 0) next = SOON_MS;
      if (Date.now() >= this.#sweepDue) {
        this.#endedJobs = 0;
        await this.#chores.sweep();
        this.#sweepDue = Date.now() + REGULAR_MS;
      }
    } catch (err) {
      // While Redis is away there is nothing to keep up; its return makes us run again.
      const away = err instanceof FerryError && err.code === 'QUEUE_UNAVAILABLE';
      this.#log[away ? 'debug' : 'error']({ err }, 'upkeep of the job store');
    }
    this.#arm(next);
  }
}
