/**
 * The load, on a thread of its own: raw sockets, so that the client costs little and costs every server the same.
 * Sends bodies over several connections at once, or small requests one after another.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { connect as connectTls } from 'node:tls';
import { parentPort } from 'node:worker_threads';
import { MiB } from '../../shared/units.js';

/** Where a server listens. */
export type Address =
  | { readonly type: 'unix'; readonly path: string }
  | { readonly type: 'tcp' | 'tls'; readonly port: number };

export type Order =
  | {
      readonly work: 'put';
      readonly to: Address;
      readonly path: string;
      readonly ranges: boolean;
      readonly bytes: number;
      readonly connections: number;
    }
  | {
      readonly work: 'requests';
      readonly to: Address;
      readonly path: string;
      readonly ranges: boolean;
      readonly request: 'put' | 'zero';
      readonly count: number;
    };

/** Of one order: how long all of it took, or each request. */
export type Done = { readonly ms: number; readonly each: readonly number[] };

const CHUNK = Buffer.alloc(MiB, 0x5a);
const SMALL = 4096;

parentPort?.on('message', async (order: Order) => {
  try {
    parentPort?.postMessage({ done: order.work === 'put' ? await put(order) : await requests(order) });
  } catch (thrown) {
    parentPort?.postMessage({ error: String(thrown) });
  }
});

async function put({ to, path, ranges, bytes, connections }: Order & { work: 'put' }): Promise<Done> {
  const clients = await Promise.all(Array.from({ length: connections }, () => Client.connect(to)));
  const share = bytes / connections;
  const before = performance.now();
  await Promise.all(
    clients.map(async (client, at) => {
      const first = at * share;
      // nginx knows no ranges: there each connection has a file of its own.
      const own = path.replace('{n}', String(at));
      await client.send(head('PUT', own, share, ranges ? contentRange(first) : ''));
      for (let sent = 0; sent < share; sent += CHUNK.length) await client.send(CHUNK);
      await client.answered();
    }),
  );
  const ms = performance.now() - before;
  for (const client of clients) client.close();
  return { ms, each: [] };
}

async function requests({ to, path, ranges, request, count }: Order & { work: 'requests' }): Promise<Done> {
  const client = await Client.connect(to);
  const each: number[] = [];
  const before = performance.now();
  for (let at = 0; at < count; at += 1) {
    const offset = (at % 4096) * SMALL;
    const message =
      request === 'put'
        ? Buffer.concat([
            Buffer.from(head('PUT', path.replace('{n}', String(at % 64)), SMALL, ranges ? contentRange(offset) : '')),
            CHUNK.subarray(0, SMALL),
          ])
        : zero(path, offset);
    const start = performance.now();
    await client.send(message);
    await client.answered();
    each.push(performance.now() - start);
  }
  const ms = performance.now() - before;
  client.close();
  return { ms, each };
}

function contentRange(first: number): string {
  return `Content-Range: bytes ${first}-*/*\r\n`;
}

function zero(path: string, offset: number): string {
  const body = JSON.stringify({ op: 'zero', size: SMALL, offset });
  return `${head('PATCH', path, body.length)}${body}`;
}

function head(method: string, path: string, length: number, more = ''): string {
  return `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${length}\r\n${more}\r\n`;
}

class Client {
  #text = '';
  #wake: (() => void) | null = null;

  static async connect(to: Address): Promise<Client> {
    const socket =
      to.type === 'unix'
        ? connect(to.path)
        : to.type === 'tcp'
          ? connect({ port: to.port, host: '127.0.0.1', noDelay: true })
          : connectTls({ port: to.port, host: '127.0.0.1', rejectUnauthorized: false });
    await once(socket, to.type === 'tls' ? 'secureConnect' : 'connect');
    return new Client(socket);
  }

  private constructor(private readonly socket: Socket) {
    socket.on('data', (chunk) => {
      this.#text += chunk.toString('latin1');
      if (this.#text.includes('\r\n\r\n')) this.#wake?.();
    });
    socket.on('error', () => this.#wake?.());
    socket.on('close', () => this.#wake?.());
  }

  async send(data: Buffer | string): Promise<void> {
    if (!this.socket.write(data)) await once(this.socket, 'drain');
  }

  /** Waits for one answer, whose body is empty or of no interest. @throws Error when it is no success */
  async answered(): Promise<void> {
    if (!this.#text.includes('\r\n\r\n') && !this.socket.destroyed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = null;
    }
    const status = /^HTTP\/1\.1 (\d+)/.exec(this.#text)?.[1] ?? 'none';
    if (!status.startsWith('2')) throw new Error(`the answer was ${status}: ${this.#text.slice(0, 300)}`);
    this.#text = '';
  }

  close(): void {
    this.socket.destroy();
  }
}
