/**
 * A small server of one image that follows the imageio protocol and remembers what it was asked, for tests of clients:
 * it breaks connections and refuses as it is told. It shares no code with our data plane.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { loadNative } from '../../workers/native/index.js';

export interface ImageRequest {
  readonly method: string;
  /** `/images/{id}`, what follows it, and the query. */
  readonly path: string;
  /** PUT and GET: of the range; PATCH zero: of the request. */
  readonly start: number;
  readonly length: number;
  /** Of a PATCH. */
  readonly op: string | null;
  /** Number of its connection, from 0. */
  readonly connection: number;
}

/** What to do with a request instead of serving it. */
export type Trouble =
  /** The connection is reset: before anything is done, after it was done, or half-way through the answer's body. */
  | { readonly kind: 'break'; readonly when: 'before' | 'after' | 'half' }
  | { readonly kind: 'refuse'; readonly status: number; readonly text: string };

export interface ImageServerOptions {
  readonly image: Buffer;
  /** A unix socket, abstract where it starts with NUL; default: a free TCP port. */
  readonly socket?: string;
  readonly id?: string;
  readonly options?: Readonly<Record<string, unknown>>;
  readonly extents?: readonly { start: number; length: number; zero: boolean }[];
  readonly trouble?: (request: ImageRequest, index: number) => Trouble | null;
}

export class ImageServer implements AsyncDisposable {
  readonly seen: ImageRequest[] = [];
  /** Most requests that were served at one time. */
  most = 0;
  #running = 0;
  #connections = new Map<Socket, number>();
  readonly #server: Server;

  static async start(options: ImageServerOptions): Promise<ImageServer> {
    const server = new ImageServer(options);
    await new Promise<void>((resolve) => {
      if (options.socket === undefined) server.#server.listen(0, '127.0.0.1', resolve);
      else if (!options.socket.startsWith('\0')) server.#server.listen(options.socket, resolve);
      // Node.js would listen on another name, filled up with NULs.
      else server.#server.listen({ fd: loadNative().bindAbstract(Buffer.from(options.socket.slice(1))) }, resolve);
    });
    return server;
  }

  private constructor(private readonly options: ImageServerOptions) {
    this.#server = createServer((request, response) => void this.#handle(request, response));
    this.#server.on('connection', (socket: Socket) => this.#connections.set(socket, this.#connections.size));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${this.#path}`;
  }

  get connections(): number {
    return this.#connections.size;
  }

  of(method: string, op: string | null = null): ImageRequest[] {
    return this.seen.filter((request) => request.method === method && request.op === op);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get #path(): string {
    return `/images/${this.options.id ?? 'ticket'}`;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#running += 1;
    this.most = Math.max(this.most, this.#running);
    response.once('close', () => {
      this.#running -= 1;
    });
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return; // gone in mid-body
    }
    const body = Buffer.concat(chunks);
    const asked = this.#understand(request, body);
    this.seen.push(asked);
    const trouble = this.options.trouble?.(asked, this.seen.length - 1) ?? null;
    if (trouble?.kind === 'refuse') return void response.writeHead(trouble.status).end(`${trouble.text}\n`);
    if (trouble?.kind === 'break' && trouble.when === 'before') return void request.socket.resetAndDestroy();
    if (!asked.path.startsWith(this.#path)) return void response.writeHead(403).end('No such ticket\n');
    const answer = this.#serve(asked, body);
    if (trouble?.kind === 'break' && trouble.when === 'after') return void request.socket.resetAndDestroy();
    response.writeHead(asked.method === 'GET' && asked.op === null && answer.isRange ? 206 : 200, {
      'Content-Length': answer.body.length,
    });
    if (trouble?.kind !== 'break') return void response.end(answer.body);
    response.write(answer.body.subarray(0, answer.body.length / 2), () => request.socket.resetAndDestroy());
  }

  #understand(request: IncomingMessage, body: Buffer): ImageRequest {
    const { method = '', url: path = '', headers } = request;
    const connection = this.#connections.get(request.socket) ?? -1;
    const common = { method, path, connection };
    if (method === 'PATCH') {
      const { op, offset = 0, size = 0 } = JSON.parse(body.toString());
      return { ...common, op, start: offset, length: size };
    }
    const [, first = '0', last = '0'] = /(\d+)-(\d*)/.exec(headers['content-range'] ?? headers.range ?? '') ?? [];
    const length = method === 'PUT' ? body.length : headers.range === undefined ? 0 : Number(last) + 1 - Number(first);
    return { ...common, op: null, start: Number(first), length };
  }

  #serve(asked: ImageRequest, body: Buffer): { body: Buffer; isRange: boolean } {
    const { image, options, extents } = this.options;
    const { method, path, op, start, length } = asked;
    if (method === 'PUT') body.copy(image, start);
    if (op === 'zero') image.fill(0, start, start + length);
    if (method === 'OPTIONS') return json({ features: [], max_readers: 8, max_writers: 8, ...options });
    if (path.includes('/extents')) return json(extents ?? [{ start: 0, length: image.length, zero: false }]);
    if (path.includes('/checksum')) return json({ checksum: checksumOf(image) });
    return { body: method === 'GET' ? image.subarray(start, start + length) : Buffer.alloc(0), isRange: true };
  }
}

function json(value: unknown): { body: Buffer; isRange: boolean } {
  return { body: Buffer.from(`${JSON.stringify(value)}\n`), isRange: false };
}

/** sha256 of the sha256 digests of blocks of 4 MiB. */
export function checksumOf(image: Buffer): string {
  const block = 4 * 1024 * 1024;
  const all = createHash('sha256');
  for (let at = 0; at < image.length; at += block) {
    all.update(
      createHash('sha256')
        .update(image.subarray(at, at + block))
        .digest(),
    );
  }
  return all.digest('hex');
}
