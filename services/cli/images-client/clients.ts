/** Several connections to one image, each used by one operation at a time; operations wait for a free one. */
import type { Endpoint } from './connection.js';
import { ImageClient } from './image-client.js';

export class Clients {
  readonly #all: ImageClient[];
  readonly #free: ImageClient[];
  readonly #waiting: ((client: ImageClient) => void)[] = [];
  readonly #wrote = new Set<ImageClient>();

  constructor(
    endpoint: Endpoint,
    readonly count: number,
    signal: AbortSignal,
  ) {
    this.#all = Array.from({ length: count }, () => new ImageClient(endpoint, signal));
    this.#free = [...this.#all];
  }

  async use<T>(work: (client: ImageClient) => Promise<T>): Promise<T> {
    const client = this.#free.pop() ?? (await new Promise<ImageClient>((resolve) => this.#waiting.push(resolve)));
    try {
      return await work(client);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(client);
      else next(client);
    }
  }

  /** As `use`, for what `flush` is to make durable. */
  async write<T>(work: (client: ImageClient) => Promise<T>): Promise<T> {
    return await this.use(async (client) => {
      this.#wrote.add(client);
      return await work(client);
    });
  }

  /** On each connection that wrote: there are servers where a flush is for what came over the same connection. */
  async flush(): Promise<void> {
    for (const client of this.#wrote) await client.flush();
  }

  close(): void {
    for (const client of this.#all) client.close();
  }
}
