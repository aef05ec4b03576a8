/**
 * The imageio protocol as a client speaks it, on one connection. Every operation may be repeated without harm, so a
 * connection that breaks is made again a few times and the operation is done once more.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { FerryError } from '../../../shared/errors.js';
import type { Range } from '../../../shared/units.js';
import { Connection, ConnectionBroken, type Endpoint, type HttpAnswer, type HttpRequest } from './connection.js';
import { refusal } from './refusal.js';

const RETRY_MS = [100, 400, 1600, 5000] as const;

const ImageOptions = z.object({
  features: z.array(z.string()),
  max_readers: z.int().min(1).default(1),
  max_writers: z.int().min(1).default(1),
  unix_socket: z.string().optional(),
});
export type ImageOptions = z.infer<typeof ImageOptions>;

const Extents = z.array(z.object({ start: z.int().min(0), length: z.int().min(0), zero: z.boolean() }));
/** `zero`: the range reads as zeroes. */
export type RemoteExtent = z.infer<typeof Extents>[number];

const Checksum = z.object({ checksum: z.string() });

export class ImageClient {
  readonly #connection: Connection;

  /**
   * @param endpoint  of the image: a URL that ends in `/images/{id}`
   * @param signal    stops what runs and all that comes
   * @param retryMs   how long to wait before each new try
   */
  constructor(
    endpoint: Endpoint,
    private readonly signal: AbortSignal,
    private readonly retryMs: readonly number[] = RETRY_MS,
  ) {
    this.#connection = new Connection(endpoint);
  }

  /** @throws FerryError NODE_UNAVAILABLE, TICKET_REFUSED, INTERNAL */
  async options(): Promise<ImageOptions> {
    return parse(ImageOptions, await this.#ask({ method: 'OPTIONS' }, 'Access to the image'));
  }

  /** Writes `body` at `start`; durable only after `flush`. @throws FerryError TICKET_REFUSED, RANGE_OUTSIDE_TARGET, … */
  async put(start: number, body: Uint8Array): Promise<void> {
    const headers = { 'Content-Range': `bytes ${start}-${start + body.length - 1}/*` };
    await this.#ask({ method: 'PUT', suffix: '?flush=n', headers, body }, `Writing ${body.length} bytes at ${start}`);
  }

  /** Makes the range read as zeroes; durable only after `flush`. */
  async zero({ start, length }: Range): Promise<void> {
    await this.#patch({ op: 'zero', offset: start, size: length }, `Zeroing ${length} bytes at ${start}`);
  }

  /** Makes durable what was written. */
  async flush(): Promise<void> {
    await this.#patch({ op: 'flush' }, 'The flush');
  }

  /** Fills `into` from `start`. @throws FerryError as `put` */
  async get(start: number, into: Uint8Array): Promise<void> {
    const what = `Reading ${into.length} bytes at ${start}`;
    const headers = { Range: `bytes=${start}-${start + into.length - 1}` };
    await this.#repeating(async () => {
      let filled = 0;
      const receive = (piece: Uint8Array) => {
        if (filled + piece.length <= into.length) into.set(piece, filled);
        filled += piece.length;
      };
      const answer = await this.#once({ method: 'GET', headers, receive }, what);
      if (answer.status !== 206 || filled !== into.length) {
        throw new FerryError('INTERNAL', `${what} was answered with ${filled} bytes (${answer.status})`);
      }
    });
  }

  /** In order and without gaps; the last one ends where the image ends. */
  async extents(): Promise<RemoteExtent[]> {
    return parse(Extents, await this.#ask({ method: 'GET', suffix: '/extents', patient: true }, 'Listing extents'));
  }

  /** Of the image as it is stored now: the hash of its blocks' digests, hexadecimal. */
  async checksum(algorithm: string, blockSize: number): Promise<string> {
    const suffix = `/checksum?algorithm=${encodeURIComponent(algorithm)}&block_size=${blockSize}`;
    const answer = await this.#ask({ method: 'GET', suffix, patient: true }, 'The checksum');
    return parse(Checksum, answer).checksum;
  }

  close(): void {
    this.#connection.close();
  }

  async #patch(body: object, what: string): Promise<void> {
    const headers = { 'Content-Type': 'application/json' };
    await this.#ask({ method: 'PATCH', headers, body: Buffer.from(JSON.stringify(body)), patient: true }, what);
  }

  async #ask(request: HttpRequest, what: string): Promise<HttpAnswer> {
    return await this.#repeating(() => this.#once(request, what));
  }

  async #once(request: HttpRequest, what: string): Promise<HttpAnswer> {
    const answer = await this.#connection.send(request, this.signal);
    if (answer.status >= 300) throw refusal(answer, what);
    return answer;
  }

  async #repeating<T>(work: () => Promise<T>): Promise<T> {
    for (let tries = 0; ; tries += 1) {
      try {
        return await work();
      } catch (thrown) {
        const pause = this.retryMs[tries];
        if (!(thrown instanceof ConnectionBroken) || pause === undefined) throw thrown;
        await sleep(pause, undefined, { signal: this.signal }).catch(() => this.signal.throwIfAborted());
      }
    }
  }
}

function parse<Schema extends z.ZodType>(schema: Schema, { text }: HttpAnswer): z.output<Schema> {
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new FerryError('INTERNAL', 'The answer is not one of an image server', {}, { cause });
  }
}
