/**
 * The data plane of a node: tickets, and the remote, the local and the control service over them.
 * Does not know jobs; what makes tickets for them uses `offer`.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import type { ImagesConfig } from '../../shared/config.js';

import { FerryError } from '../../shared/errors.js';
import type { Log } from '../../shared/log.js';
import type { Allocation } from '../../shared/zero-methods.js';
import { ControlBlock } from '../../workers/control.js';
import type { Workers } from '../../workers/pool.js';
import type { Handle } from '../../workers/storage/handle.js';
import type { ImagesContext } from './context.js';
import { ImageBuffers } from './data/image-buffers.js';
import { createListener } from './http/listener.js';
import { createServing, listenOnPort, listenOnSocket, type Serving, type Tls } from './http/serve.js';
import { OpenImages } from './open-images.js';
import { CONTROL, LOCAL, REMOTE } from './routes/index.js';
import { Ticket } from './tickets/ticket.js';
import { TicketStore } from './tickets/ticket-store.js';

export interface ImagesOptions {
  readonly config: {
    readonly images: ImagesConfig;
    readonly storageRoots: readonly string[];
    readonly nbdHosts: readonly string[];
    readonly bufferBytes: number;
  };
  readonly log: Log;
  readonly workers: Workers;
  readonly version: string;
}

/** What of it runs, as the ready line tells. */
export interface ImagesAddresses {
  readonly images?: { readonly host: string; readonly port: number };
  readonly local?: { readonly socket: string };
  readonly control?: { readonly socket?: string; readonly port?: number };
}

/** @throws FerryError CONFIG_INVALID  an address cannot be listened on, or a certificate cannot be read */
export async function startImages(options: ImagesOptions): Promise<Images> {
  const images = new Images(options);
  try {
    await images.start();
    return images;
  } catch (thrown) {
    await images.close();
    throw thrown;
  }
}

export class Images {
  readonly #servings: Serving[] = [];
  readonly #open: OpenImages;
  readonly #tickets: TicketStore;
  readonly #log: Log;
  #addresses: ImagesAddresses = {};
  #closing = false;

  constructor(private readonly options: ImagesOptions) {
    const { workers, config } = options;
    this.#log = options.log.child({ part: 'images' });
    this.#open = new OpenImages({
      workers,
      limits: { roots: config.storageRoots, nbdHosts: config.nbdHosts },
      log: this.#log,
    });
    this.#tickets = new TicketStore();
  }

  get addresses(): ImagesAddresses {
    return this.#addresses;
  }

  async start(): Promise<void> {
    const { images } = this.options.config;
    const context: ImagesContext = {
      log: this.#log,
      version: this.options.version,
      workers: this.options.workers,
      buffers: new ImageBuffers(this.options.config.bufferBytes),
      tickets: this.#tickets,
      maxConnections: images.maxConnections,
      localSocket: images.localSocket,
      inactivityTimeoutSeconds: images.inactivityTimeoutSeconds,
      removeTimeoutSeconds: images.removeTimeoutSeconds,
    };
    const serving = (routes: typeof REMOTE, tls: Tls | null = null) => {
      const made = createServing((connections) => createListener(context, routes, connections), this.#open, tls);
      this.#servings.push(made);
      return made.server;
    };
    const { host, port, localSocket, controlSocket, controlPort } = images;
    if (port !== null) {
      const found = await listenOnPort(
        serving(REMOTE, readTls(images)),
        host,
        port,
        'FERRY_IMAGES_HOST, FERRY_IMAGES_PORT',
      );
      this.#addresses = { ...this.#addresses, images: { host, port: found } };
    }
    if (localSocket !== null) {
      makeDirectory(localSocket, 'FERRY_LOCAL_SOCKET');
      await listenOnSocket(serving(LOCAL), localSocket, 'FERRY_LOCAL_SOCKET');
      this.#addresses = { ...this.#addresses, local: { socket: localSocket } };
    }
    if (controlSocket !== null) {
      makeDirectory(controlSocket, 'FERRY_CONTROL_SOCKET');
      await listenOnSocket(serving(CONTROL), controlSocket, 'FERRY_CONTROL_SOCKET');
      this.#addresses = { ...this.#addresses, control: { socket: controlSocket } };
    }
    if (controlPort !== null) {
      const found = await listenOnPort(serving(CONTROL), '127.0.0.1', controlPort, 'FERRY_CONTROL_PORT');
      this.#addresses = { ...this.#addresses, control: { ...this.#addresses.control, port: found } };
    }
  }

  /** Cancels all tickets, waits for what runs, and closes every connection. */
  async close(): Promise<void> {
    this.#closing = true;
    const gone = this.#tickets.clear(Infinity);
    await gone;
    await Promise.all(this.#servings.map((serving) => serving.close()));
    await this.#open.settled();
  }

  /** A ticket for storage that the caller has opened, and closes after `revoke`. @throws FerryError INTERRUPTED */
  offer(request: OfferRequest): Offer {
    if (this.#closing) throw new FerryError('INTERRUPTED', 'The node is shutting down');
    const uuid = randomUUID();
    const inactivity = BigInt(this.options.config.images.inactivityTimeoutSeconds);
    const ticket = new Ticket(
      {
        uuid,
        size: BigInt(request.size),
        ops: [request.op],
        timeout: YEAR_SECONDS,
        url: `job:${request.transferId}`,
        image: null,
        inactivityTimeout: inactivity,
        transferId: request.transferId,
        filename: null,
        sparse: request.allocation === 'sparse',
        dirty: false,
      },
      new ControlBlock(request.control),
      request.settled,
    );
    const image = this.#open.give(ticket, request.storage);
    ticket.gone.addEventListener('abort', () => this.#open.forget(ticket));
    this.#tickets.add(ticket);
    this.#log.info({ ticket: uuid, job: request.transferId, op: request.op }, 'ticket added');
    return {
      url: `${this.#url()}/images/${uuid}`,
      local: this.options.config.images.localSocket,
      written: () => ticket.written.toPacked(),
      get writtenBytes() {
        return ticket.written.bytes;
      },
      get sentBytes() {
        return ticket.sentBytes;
      },
      get transferredBytes() {
        return ticket.movedBytes;
      },
      get idleMs() {
        return ticket.idleMs;
      },
      get failure() {
        return image.failure;
      },
      flush: async () => {
        if (image.failure !== null) throw image.failure;
        await image.flush(0);
      },
      revoke: async () => {
        ticket.revoke();
        await ticket.idle(Infinity);
        this.#tickets.forget(ticket);
      },
    };
  }

  /** Of the remote service, as clients elsewhere reach it. */
  #url(): string {
    const { url, tls, host } = this.options.config.images;
    if (url !== null) return url;
    const { images } = this.#addresses;
    if (images === undefined) return `http://${hostname()}`;
    const name = host === '::' || host === '0.0.0.0' ? hostname() : host.includes(':') ? `[${host}]` : host;
    return `${tls === null ? 'http' : 'https'}://${name}:${images.port}`;
  }
}

/** The job decides how long; a ticket without an end would need another kind of field. */
const YEAR_SECONDS = 366n * 86_400n;

export interface OfferRequest {
  readonly storage: Handle;
  readonly op: 'read' | 'write';
  /** Bytes of the image that the client sees. */
  readonly size: number;
  /** Of the job. */
  readonly transferId: string;
  /** `sparse`: zero requests may give space back. */
  readonly allocation: Allocation;
  /** Packed ranges that count as written from the start. */
  readonly settled: readonly number[];
  /** Of the job: every call that changes something asks it. */
  readonly control: SharedArrayBuffer;
}

export interface Offer {
  readonly url: string;
  /** Unix socket of the local service on the node; null: it does not run. */
  readonly local: string | null;
  /** What was written or zeroed well, and what was settled before: packed start, length, … in order; a copy. */
  written(): number[];
  /** Sum of `written`. */
  readonly writtenBytes: number;
  /** Distinct bytes that clients sent and that were written well; zero requests send none. */
  readonly sentBytes: number;
  /** Distinct bytes moved, running operations included. */
  readonly transferredBytes: number;
  /** 0 while an operation runs, else ms since the last one or the offer. */
  readonly idleMs: number;
  /** Of a flush that a client asked for: what was written may be lost, although a later flush succeeds. */
  readonly failure: FerryError | null;
  /**
   * Makes durable what was written; never at the same time as a flush of a client. Also after `revoke`.
   * @throws FerryError FLUSH_FAILED  also when an earlier one failed, whoever asked for that
   */
  flush(): Promise<void>;
  /** No new operation starts; resolves when running ones have ended. Then the ticket is gone. */
  revoke(): Promise<void>;
}

function readTls({ tls }: ImagesConfig): Tls | null {
  if (tls === null) return null;
  return {
    cert: read('FERRY_TLS_CERT', tls.cert),
    key: read('FERRY_TLS_KEY', tls.key),
    ca: tls.ca === null ? null : read('FERRY_TLS_CA', tls.ca),
  };
}

function read(variable: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new FerryError('CONFIG_INVALID', `${variable}: ${(cause as Error).message}`, { path }, { cause });
  }
}

/** @throws FerryError CONFIG_INVALID */
function makeDirectory(socket: string, variable: string): void {
  if (socket.startsWith('\0')) return;
  try {
    mkdirSync(dirname(socket), { recursive: true, mode: 0o700 });
  } catch (cause) {
    const message = `${variable}: the directory of ${socket} cannot be made (${(cause as NodeJS.ErrnoException).code})`;
    throw new FerryError('CONFIG_INVALID', `${message}; name another path, or off`, { path: socket }, { cause });
  }
}
