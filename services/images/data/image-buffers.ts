/**
 * Buffers between sockets and threads, bounded over all connections. Clients that hold theirs for long because they
 * are slow cannot stop the others: who waits in vain for a large buffer gets a small one of its own, and until one comes
 * back nobody waits again.
 */
import { KiB, MiB } from '../../../shared/units.js';
import { allocateShared, BufferPool, type SharedBuffer } from '../../../workers/buffers.js';
import { loadNative } from '../../../workers/native/index.js';

/** Longer than a job's: each one that is full costs the event loop a call to a thread. */
const LENGTH = 2 * MiB;
const PATIENCE_MS = 100;
const SMALL = 64 * KiB;
/** Of one request: enough for the storage to be busy while the socket is read or written. */
const WINDOW = 4;

export class ImageBuffers {
  readonly #pool: BufferPool;
  /** Somebody waited in vain, and none came back since then. */
  #starved = false;

  constructor(bytes: number) {
    this.#pool = new BufferPool(LENGTH, Math.max(1, Math.floor(bytes / LENGTH)));
  }

  /** How many buffers one request may hold now: fewer when many want some. */
  get window(): number {
    return this.#pool.inUse * 2 < this.#pool.limit ? WINDOW : 1;
  }

  /** One that is free now, for a request that holds `held` already; null: it has to wait. */
  tryAcquire(held: number): SharedBuffer | null {
    return held < this.window ? this.#pool.tryAcquire() : null;
  }

  async acquire(): Promise<SharedBuffer> {
    const found = this.#starved ? null : await this.#pool.acquireWithin(PATIENCE_MS);
    this.#starved = found === null;
    return found ?? allocateShared(loadNative(), SMALL);
  }

  release(buffer: SharedBuffer): void {
    // A small one is left to the garbage collector.
    if (buffer.length !== LENGTH) return;
    this.#pool.release(buffer);
    this.#starved = false;
  }

  get inUse(): number {
    return this.#pool.inUse;
  }
}
