/** A data plane without HTTP for tests of jobs with a client: the test itself is the client. */
import type { DataPlane, Offer, OfferRequest } from '../../services/transfer/data-plane.js';
import { Coverage } from '../../shared/coverage.js';
import type { FerryError } from '../../shared/errors.js';
import { view } from '../../workers/buffers.js';
import type { Workers } from '../../workers/pool.js';
import type { TargetHandle } from '../../workers/storage/handle.js';

export class ClientPlane implements DataPlane {
  /** How often a job offered itself. */
  offers = 0;
  failure: FerryError | null = null;
  #request: OfferRequest | null = null;
  #written = new Coverage();
  #sent = 0;
  #waiting: (() => void)[] = [];

  constructor(private readonly workers: Workers) {}

  offer(request: OfferRequest): Offer {
    this.offers += 1;
    this.#request = request;
    this.#sent = 0;
    this.#written = new Coverage(request.settled);
    const plane = this;
    for (const wake of this.#waiting.splice(0)) wake();
    return {
      url: `http://test/images/${this.offers}`,
      local: null,
      written: () => this.#written.toPacked(),
      get writtenBytes() {
        return plane.#written.bytes;
      },
      get sentBytes() {
        return plane.#sent;
      },
      get transferredBytes() {
        return plane.#sent;
      },
      idleMs: 0,
      get failure() {
        return plane.failure;
      },
      flush: async () => {
        if (this.failure !== null) throw this.failure;
        await this.workers.run('flush', { target: request.storage as TargetHandle });
      },
      revoke: async () => {
        this.#request = null;
      },
    };
  }

  /** Resolves when the client can send. */
  async offered(): Promise<void> {
    if (this.#request === null) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** @param acknowledged  false: the node dies before it could count what it wrote */
  async send(start: number, bytes: Uint8Array, acknowledged = true): Promise<void> {
    if (this.#request === null) throw new Error('nothing is offered');
    const { storage, control } = this.#request;
    const buffer = await this.workers.buffers.acquire();
    try {
      view(buffer).set(bytes);
      const input = {
        target: storage as TargetHandle,
        buffer,
        offset: 0,
        length: bytes.length,
        position: start,
        control,
      };
      await this.workers.run('writeImage', input);
    } finally {
      this.workers.buffers.release(buffer);
    }
    if (!acknowledged) return;
    this.#written.add({ start, length: bytes.length });
    this.#sent += bytes.length;
  }
}
