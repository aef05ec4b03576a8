/**
 * One connection to an image of a data plane: the imageio protocol as a client speaks it. Every request may be sent
 * again, so a connection that broke is opened anew and its request repeated a few times.
 */
import { Agent, request as askHttp, type ClientRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import { request as askHttps, Agent as TlsAgent } from 'node:https';
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ErrorCode, FerryError } from '../../../shared/errors.js';
import type { Range } from '../../../shared/units.js';
import { loadNative } from '../../../workers/native/index.js';

/** Where an image is: by its URL, over TCP or through a unix socket of this machine. */
export interface ImageAddress {
  readonly url: string;
  /** One that starts with NUL is an abstract name; null: TCP. */
  readonly socket: string | null;
  /** PEM of the authority of a server's certificate; null: those that Node.js trusts. */
  readonly ca: Buffer | null;
}

export interface ImageOptions {
  readonly features: readonly string[];
  readonly max_readers?: number;
  readonly max_writers?: number;
  readonly unix_socket?: string;
}

export interface ImageExtent extends Range {
  readonly zero: boolean;
}

const TRIES = 5;
const FIRST_PAUSE_MS = 200;
/** Longer than a server waits for its storage; a transfer that moves is never cut. */
const SILENCE_MS = 120_000;
const MOST_TEXT = 64 * 1024 * 1024;

export class ImageConnection {
  readonly #agent: Agent;
  readonly #secure: boolean;

  constructor(private readonly address: ImageAddress) {
    this.#secure = address.socket === null && address.url.startsWith('https:');
    const options = { keepAlive: true, maxSockets: 1 };
    this.#agent = this.#secure
      ? new TlsAgent({ ...options, ...(address.ca === null ? {} : { ca: address.ca }) })
      : new Agent(options);
  }

  close(): void {
    this.#agent.destroy();
  }

  async options(): Promise<ImageOptions> {
    return JSON.parse(await this.#text('OPTIONS', '')) as ImageOptions;
  }

  /** Durable after a flush. */
  async put(start: number, bytes: Uint8Array): Promise<void> {
    const headers = { 'Content-Range': `bytes ${start}-*/*`, 'Content-Type': 'application/octet-stream' };
    await this.#text('PUT', '?flush=n', headers, bytes);
  }

  async zero({ start, length }: Range): Promise<void> {
    await this.#patch({ op: 'zero', offset: start, size: length });
  }

  async flush(): Promise<void> {
    await this.#patch({ op: 'flush' });
  }

  async extents(): Promise<ImageExtent[]> {
    return JSON.parse(await this.#text('GET', '/extents')) as ImageExtent[];
  }

  /** Fills `into` from `start`. */
  async get(start: number, into: Uint8Array): Promise<void> {
    const headers = { Range: `bytes=${start}-${start + into.length - 1}` };
    await this.#repeatedly('GET', async () => {
      let filled = 0;
      await this.#once('GET', '', headers, null, async (answer) => {
        for await (const chunk of answer as AsyncIterable<Buffer>) {
          into.set(chunk.subarray(0, into.length - filled), filled);
          filled += Math.min(chunk.length, into.length - filled);
        }
      });
      if (filled < into.length) throw new Broken(new Error('the answer was cut short'));
    });
  }

  async #patch(body: object): Promise<void> {
    await this.#text('PATCH', '', { 'Content-Type': 'application/json' }, Buffer.from(JSON.stringify(body)));
  }

  async #text(method: string, suffix: string, headers: object = {}, body: Uint8Array | null = null): Promise<string> {
    let text = '';
    await this.#repeatedly(method, () =>
      this.#once(method, suffix, headers, body, async (answer) => {
        text = await textOf(answer);
      }),
    );
    return text;
  }

  /** @throws FerryError NODE_UNAVAILABLE  the connection breaks again and again */
  async #repeatedly(method: string, work: () => Promise<void>): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      try {
        await work();
        return;
      } catch (thrown) {
        if (!(thrown instanceof Broken)) throw thrown;
        const { message } = thrown.reason;
        if (tries === TRIES || isDistrust(thrown.reason)) {
          throw new FerryError(
            'NODE_UNAVAILABLE',
            `${method} ${this.address.url}: ${message}`,
            {},
            { cause: thrown.reason },
          );
        }
      }
      await sleep(FIRST_PAUSE_MS * 2 ** (tries - 1));
    }
  }

  async #once(
    method: string,
    suffix: string,
    headers: object,
    body: Uint8Array | null,
    read: (answer: IncomingMessage) => Promise<void>,
  ): Promise<void> {
    const { url, socket } = this.address;
    const { pathname } = new URL(url);
    const options: RequestOptions = {
      method,
      agent: this.#agent,
      path: `${pathname}${suffix}`,
      timeout: SILENCE_MS,
      headers: { ...headers, ...(body === null ? {} : { 'Content-Length': body.length }) },
      ...through(socket),
    };
    const sent = this.#secure ? askHttps(url, options) : askHttp(socket === null ? url : 'http://localhost', options);
    const answer = await answerOf(sent, body);
    try {
      if (answer.statusCode === 200 || answer.statusCode === 206) return await read(answer);
      throw refused(answer.statusCode ?? 0, method, url, (await textOf(answer)).trim());
    } catch (thrown) {
      if (thrown instanceof FerryError) throw thrown;
      throw new Broken(thrown as Error);
    }
  }
}

/** The server's certificate is not one that we trust, and will not be in a second. */
function isDistrust(reason: NodeJS.ErrnoException): boolean {
  return /CERT|SELF_SIGNED|ERR_TLS|UNABLE_TO_/.test(reason.code ?? '');
}

/** The connection broke: whether the request was served nobody knows, and it may be repeated. */
class Broken extends Error {
  constructor(readonly reason: Error) {
    super(reason.message);
  }
}

async function answerOf(sent: ClientRequest, body: Uint8Array | null): Promise<IncomingMessage> {
  return await new Promise((resolve, reject) => {
    sent.once('response', resolve);
    // A server that refuses may close before it has read all: its answer comes first, and counts.
    sent.on('error', (reason) => reject(new Broken(reason)));
    sent.once('timeout', () => sent.destroy(new Error('the server is silent')));
    sent.end(body ?? undefined);
  });
}

function through(socket: string | null): RequestOptions {
  if (socket === null) return {};
  if (!socket.startsWith('\0')) return { socketPath: socket };
  const name = Buffer.from(socket.slice(1));
  return { createConnection: () => new Socket({ fd: loadNative().connectAbstract(name) }) };
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MOST_TEXT) throw new Error('the answer is too long');
  }
  return Buffer.concat(chunks).toString();
}

const CODES: Readonly<Record<number, ErrorCode>> = {
  400: 'BAD_REQUEST',
  403: 'TICKET_REFUSED',
  404: 'NOT_FOUND',
  405: 'METHOD_NOT_ALLOWED',
  409: 'TARGET_BUSY',
  416: 'RANGE_OUTSIDE_TARGET',
};

function refused(status: number, method: string, url: string, text: string): FerryError {
  return new FerryError(CODES[status] ?? 'STORAGE_IO', `${method} ${url} was answered with ${status}: ${text}`);
}
