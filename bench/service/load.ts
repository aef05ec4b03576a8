/**
 * Load on the API, on a thread of its own: raw keep-alive connections, so that the client costs little beside the server.
 * One order at a time; answers with how long each request took.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort } from 'node:worker_threads';

export interface LoadOrder {
  readonly port: number;
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body?: string;
  readonly connections: number;
  /** Requests of all connections together. */
  readonly count: number;
  /** Between two requests of a connection. */
  readonly pauseMs?: number;
}

export interface LoadDone {
  readonly ms: number;
  readonly each: readonly number[];
}

parentPort?.on('message', async (order: LoadOrder) => {
  try {
    parentPort?.postMessage({ done: await load(order) });
  } catch (thrown) {
    parentPort?.postMessage({ error: String(thrown) });
  }
});

async function load(order: LoadOrder): Promise<LoadDone> {
  const { method, path, body = '', connections, count, pauseMs = 0 } = order;
  const head = `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;
  const message = `${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  const clients = await Promise.all(Array.from({ length: connections }, () => Client.connect(order.port)));
  const each: number[] = [];
  let left = count;
  const before = performance.now();
  await Promise.all(
    clients.map(async (client) => {
      while (left > 0) {
        left -= 1;
        const start = performance.now();
        await client.ask(message);
        each.push(performance.now() - start);
        if (pauseMs > 0) await sleep(pauseMs);
      }
    }),
  );
  const ms = performance.now() - before;
  for (const client of clients) client.close();
  return { ms, each };
}

class Client {
  #text = '';
  #wake: (() => void) | null = null;

  static async connect(port: number): Promise<Client> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return new Client(socket);
  }

  private constructor(private readonly socket: Socket) {
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      this.#text += text;
      if (this.#isWhole()) this.#wake?.();
    });
    socket.on('close', () => this.#wake?.());
    socket.on('error', () => {});
  }

  /** @throws Error the answer was no success */
  async ask(message: string): Promise<void> {
    this.#text = '';
    this.socket.write(message);
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    if (!/^HTTP\/1\.1 2/.test(this.#text)) throw new Error(`the answer was ${this.#text.slice(0, 400)}`);
  }

  #isWhole(): boolean {
    const end = this.#text.indexOf('\r\n\r\n');
    if (end === -1) return false;
    const length = /content-length: (\d+)/i.exec(this.#text.slice(0, end))?.[1];
    return this.#text.length >= end + 4 + Number(length ?? 0);
  }

  close(): void {
    this.socket.destroy();
  }
}
