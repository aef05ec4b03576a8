/** What a stream does with a client that reads slowly, or not at all: over real HTTP, with events of a megabyte. */
import { EventEmitter, once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import express, { type Response } from 'express';
import type { ApiContext } from '../../../services/api/context.js';
import { type StreamEvent, streamEvents } from '../../../services/api/event-stream.js';
import type { Versioned } from '../../../services/api/versioned.js';

interface Thing extends Versioned {
  readonly count: number;
}

const MEGABYTE = 'x'.repeat(1_000_000);

/** Serves one thing that changes when the test says so; `canWait` says of each event whether it can wait. */
class Scene {
  now: Thing = { state: 'active', version: 1, count: 0 };
  made = 0;
  response: Response | undefined;
  readonly #changes = new EventEmitter();
  readonly #server: Server;

  constructor(readonly canWait: boolean) {
    const context = { heartbeatMs: 60_000, closing: new AbortController().signal } as ApiContext;
    const app = express().get('/', async (request, response) => {
      this.response = response;
      await streamEvents(context, request, response, this.now, {
        next: (since, _timeoutMs, signal) => this.#next(since, signal),
        event: (now, sent) => this.#event(now, sent),
        paceMs: 0,
      });
    });
    this.#server = createServer(app).listen(0);
  }

  change(state: Thing['state'] = 'active'): void {
    const { version, count } = this.now;
    this.now = { state, version: version + 1, count: count + 1 };
    this.#changes.emit('change');
  }

  open(): Promise<IncomingMessage> {
    const { port } = this.#server.address() as AddressInfo;
    return new Promise((resolve, reject) => {
      httpRequest({ port, agent: false }, resolve).once('error', reject).end();
    });
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #next(since: number, signal: AbortSignal): Promise<Thing> {
    while (this.now.version === since && !signal.aborted) {
      await once(this.#changes, 'change', { signal }).catch(() => {});
    }
    return this.now;
  }

  #event(now: Thing, sent: Thing | null): StreamEvent {
    const canWait = this.canWait && now.state === sent?.state;
    const data = () => {
      this.made += 1;
      return { count: now.count, missed: sent === null ? 0 : now.count - sent.count - 1, filler: MEGABYTE };
    };
    return { name: 'state', data, canWait };
  }
}

describe('API: an event stream and a client that does not read', () => {
  let scene: Scene;
  afterEach(() => scene.close());

  /** Sixty changes that the stream has time to see one by one. */
  async function manyChanges(): Promise<void> {
    for (let i = 0; i < 60; i++) {
      scene.change();
      await delay(5);
    }
  }

  it('keeps back what can wait, and tells the last of it when the client reads again', async () => {
    scene = new Scene(true);
    const stream = await scene.open();
    stream.pause();
    await manyChanges();
    expect(scene.response?.writableLength, 'bytes kept').to.be.below(2_500_000);
    expect(scene.made, 'events made').to.be.below(30);
    let text = '';
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    stream.resume();
    while ((scene.response?.writableLength ?? 0) > 0) await delay(10);
    scene.change('completed');
    await once(stream, 'end');
    const events = [...text.matchAll(/^data:(.*)$/gm)].map(([, data]) => JSON.parse(data as string));
    expect(events.at(-1).count).to.equal(61);
    expect(events.at(-1).missed, 'what was kept back is compared with what was sent').to.be.greaterThan(10);
  });

  it('lets a client go that does not read what cannot wait', async () => {
    scene = new Scene(false);
    const stream = await scene.open();
    stream.on('error', () => {});
    stream.pause();
    await manyChanges();
    expect(scene.response?.destroyed).to.equal(true);
    expect(scene.made, 'events made').to.be.below(30);
  });
});
