/**
 * A raw HTTP/1.1 client for tests of servers: it sends whatever bytes it is given, right or wrong, in whatever pieces,
 * and tells exactly what came back and when the server closed. It decides nothing: no retries, no redirects, no pool.
 * Headers are kept as sent, one character a byte (latin1).
 */
import { createConnection, Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { loadNative } from '../../workers/native/index.js';

export type Address =
  | { readonly host: string; readonly port: number; readonly tls?: ConnectionOptions }
  /** A unix socket; an abstract name starts with NUL. */
  | { readonly path: string };

export interface RawRequest {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** `Content-Length` is its length unless `headers` say otherwise. */
  readonly body?: Buffer | string;
}

export interface RawResponse {
  readonly version: string;
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  /** Interim answers (1xx) that came before. */
  readonly interim: readonly number[];
  /** @returns undefined when it was not sent. @throws Error when it was sent more than once */
  header(name: string): string | undefined;
  text(): string;
  json(): unknown;
}

type Head = Omit<RawResponse, 'body' | 'interim' | 'text' | 'json'>;

const PATIENCE_MS = 15_000;

/** The bytes of a request as a well-behaved client writes them. */
export function requestBytes({ method = 'GET', path, headers = {}, body }: RawRequest): Buffer {
  const names = Object.keys(headers).map((name) => name.toLowerCase());
  const lines = [`${method} ${path} HTTP/1.1`];
  if (!names.includes('host')) lines.push('Host: test');
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  const sent = body === undefined ? Buffer.alloc(0) : Buffer.from(body as string);
  const framed = names.includes('content-length') || names.includes('transfer-encoding');
  if (body !== undefined && !framed) lines.push(`Content-Length: ${sent.length}`);
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), sent]);
}

function connectPlain(address: Address): Socket {
  if (!('path' in address) || !address.path.startsWith('\0'))
    return createConnection({ ...address, allowHalfOpen: true });
  // Node.js would ask for another name: this one and NULs up to the length of an address.
  const fd = loadNative().connectAbstract(Buffer.from(address.path.slice(1)));
  return new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
}

export class RawConnection implements AsyncDisposable {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  /** Came after `#received`; joined only when enough is there, or a long body would be copied again and again. */
  #chunks: Buffer[] = [];
  #available = 0;
  #ended = false;
  #error: Error | undefined;
  #wake: () => void = () => {};

  /** Resolves when connected (with TLS: when both sides agreed). @throws the socket's error */
  static async open(address: Address): Promise<RawConnection> {
    const tls = 'tls' in address ? address.tls : undefined;
    const socket =
      tls === undefined
        ? connectPlain(address)
        : connectTls({ ...(address as { host: string; port: number }), ...tls, allowHalfOpen: true } as never);
    const connected = tls === undefined && !socket.connecting;
    await new Promise<void>((resolve, reject) => {
      if (connected) return resolve();
      const refused = (error?: Error) => reject(error ?? new Error('the server closed the connection at once'));
      socket.once('error', refused);
      socket.once('end', refused);
      socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
        socket.off('error', refused);
        socket.off('end', refused);
        resolve();
      });
    });
    return new RawConnection(socket);
  }

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#available += chunk.length;
      this.#wake();
    });
    socket.on('error', (error) => {
      this.#error = error;
      this.#wake();
    });
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.#ended = true;
        this.#wake();
      });
    }
  }

  /** Writes bytes as they are; resolves when the kernel has them all, or will not take them any more. */
  async write(bytes: Buffer | string): Promise<void> {
    if (this.socket.destroyed) return;
    await new Promise<void>((resolve) => {
      const gone = () => resolve();
      this.socket.once('close', gone);
      this.socket.write(bytes, () => {
        this.socket.off('close', gone);
        resolve();
      });
    });
  }

  /** Sends a whole request and reads its answer. */
  async request(request: RawRequest): Promise<RawResponse> {
    // An answer that comes before the whole body was sent must be read all the same.
    const sent = this.write(requestBytes(request));
    const response = await this.response(request.method);
    if (response.status < 400) await sent;
    return response;
  }

  /** Reads the next answer, interim ones before it included. @param method  the one that was asked with */
  async response(method = 'GET'): Promise<RawResponse> {
    const interim: number[] = [];
    for (;;) {
      const head = await this.head();
      if (head.status < 200) {
        interim.push(head.status);
        continue;
      }
      const body = await this.#body(head, method);
      const text = () => body.toString('utf8');
      return { ...head, body, interim, text, json: () => JSON.parse(text()) as unknown };
    }
  }

  /** Reads the next status line and headers only; `take` reads of the body. */
  async head(): Promise<Head> {
    this.#join();
    let end = this.#received.indexOf('\r\n\r\n');
    while (end < 0) {
      await this.#more();
      this.#join();
      end = this.#received.indexOf('\r\n\r\n');
    }
    const [first = '', ...lines] = this.#shift(end + 4)
      .toString('latin1', 0, end)
      .split('\r\n');
    const [, version, status, reason = ''] = /^(HTTP\/\d\.\d) (\d{3}) ?(.*)$/.exec(first) ?? [];
    if (version === undefined) throw new Error(`not a status line: ${JSON.stringify(first)}`);
    const headers = lines.map((line) => {
      const colon = line.indexOf(':');
      if (colon < 1) throw new Error(`not a header: ${JSON.stringify(line)}`);
      return [line.slice(0, colon), line.slice(colon + 1).trim()] as const;
    });
    const header = (name: string) => {
      const values = headers.filter(([sent]) => sent.toLowerCase() === name.toLowerCase());
      if (values.length > 1) throw new Error(`the header ${name} was sent ${values.length} times`);
      return values[0]?.[1];
    };
    return { version, status: Number(status), reason, headers, header };
  }

  /** Reads exactly so many bytes. */
  async take(length: number): Promise<Buffer> {
    while (this.#available < length) await this.#more();
    this.#join();
    return this.#shift(length);
  }

  /** Stops taking bytes off the socket: the server's writes come to a halt when all buffers between are full. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Sends no more; answers can still be read. */
  end(): void {
    this.socket.end();
  }

  /**
   * Waits until the server closes. @returns what it sent before, and was not read yet
   * @param patienceMs  how long the server may take
   */
  async closed(patienceMs = PATIENCE_MS): Promise<Buffer> {
    const deadline = Date.now() + patienceMs;
    while (!this.#ended && this.#error === undefined) await this.#wait(deadline);
    this.#join();
    return this.#received;
  }

  /** Whether the server has closed, as far as is known. */
  get isClosed(): boolean {
    return this.#ended || this.#error !== undefined;
  }

  close(): void {
    this.socket.destroy();
  }

  /** Goes away without a farewell where the transport knows that (TCP): the kernel tells the server with a reset. */
  reset(): void {
    if (this.socket.remoteAddress === undefined) this.close();
    else this.socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  async #body(head: Head, method: string): Promise<Buffer> {
    if (method === 'HEAD' || head.status === 204 || head.status === 304) return Buffer.alloc(0);
    if (head.header('transfer-encoding') === 'chunked') return await this.#chunked();
    const length = head.header('content-length');
    if (length !== undefined) return await this.take(Number(length));
    await this.closed();
    return this.#shift(this.#received.length);
  }

  async #chunked(): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (;;) {
      const length = Number.parseInt(await this.#line(), 16);
      if (length === 0) break;
      parts.push(await this.take(length));
      await this.#line();
    }
    await this.#line();
    return Buffer.concat(parts);
  }

  async #line(): Promise<string> {
    this.#join();
    while (this.#received.indexOf('\r\n') < 0) {
      await this.#more();
      this.#join();
    }
    const end = this.#received.indexOf('\r\n');
    return this.#shift(end + 2).toString('latin1', 0, end);
  }

  async #more(): Promise<void> {
    const before = this.#available;
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      if (this.#available > before) return;
      const why = this.#error === undefined ? '' : ` (${this.#error.message})`;
      if (this.isClosed) throw new Error(`the server closed the connection where an answer was due${why}`);
      await this.#wait(deadline);
    }
  }

  #join(): void {
    if (this.#chunks.length === 0) return;
    this.#received = Buffer.concat([this.#received, ...this.#chunks]);
    this.#chunks = [];
  }

  #shift(length: number): Buffer {
    const taken = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    this.#available -= length;
    return taken;
  }

  async #wait(deadline: number): Promise<void> {
    if (Date.now() >= deadline) throw new Error('the server neither answered nor closed the connection');
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, deadline - Date.now());
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
