/**
 * The data plane of a real `ferry serve`, for suites: remote, local and control service, with images and tickets.
 * Starting takes about a second, so most suites share the one of `DataPlane.shared()`; it ends after the last test.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ConnectionOptions } from 'node:tls';
import { lend } from './cleanup.js';
import { run } from './command.js';
import { type Address, RawConnection, type RawRequest, type RawResponse } from './raw-http.js';
import { type Service, startService } from './service.js';
import { type TempDir, tempDir } from './temp.js';

export interface DataPlaneOptions {
  /** The remote service speaks HTTPS, with a certificate made for it. Default: plain HTTP. */
  readonly tls?: boolean;
  /** Storage roots beside the directory `storage`. */
  readonly roots?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A ticket as it is put; numbers may be larger than JavaScript's. */
export type TicketFields = Readonly<Record<string, unknown>>;

/** An image and a ticket for it. */
export interface TestImage {
  readonly id: string;
  /** `/images/{id}` */
  readonly url: string;
  readonly path: string;
  read(): Promise<Buffer>;
}

export type Transport = 'remote' | 'local' | 'control';

/** How long a service may take to end by itself. */
const PATIENCE_MS = 5000;

let shared: Promise<DataPlane> | undefined;

export class DataPlane implements AsyncDisposable {
  /** The storage root; what lies beside it is outside. */
  readonly storage: string;
  readonly #addresses: Record<Transport, Address>;

  /** One for all suites: plain HTTP, local service on a path. Not to be ended, nor its tickets deleted all at once. */
  static shared(): Promise<DataPlane> {
    shared ??= DataPlane.start();
    return shared;
  }

  static async start(options: DataPlaneOptions = {}): Promise<DataPlane> {
    const directory = await tempDir();
    const storage = directory.join('storage');
    await mkdir(storage);
    let certificate: Certificate | undefined;
    if (options.tls === true) certificate = await makeCertificate(directory);
    const service = await startService({
      roots: [storage, ...(options.roots ?? [])],
      env: {
        FERRY_IMAGES_PORT: '0',
        FERRY_LOCAL_SOCKET: directory.join('images.sock'),
        FERRY_CONTROL_SOCKET: directory.join('control.sock'),
        ...(certificate === undefined
          ? { FERRY_TLS: 'off' }
          : { FERRY_TLS: 'on', FERRY_TLS_CERT: certificate.cert, FERRY_TLS_KEY: certificate.key }),
        ...options.env,
      },
    });
    const { images, control } = service.ready;
    if (images === undefined || control === undefined) {
      await service[Symbol.asyncDispose]();
      throw new Error('the program does not run the data plane');
    }
    return new DataPlane(service, directory, certificate);
  }

  private constructor(
    readonly service: Service,
    private readonly directory: TempDir,
    private readonly certificate: Certificate | undefined,
  ) {
    this.storage = directory.join('storage');
    const { local, control } = service.ready;
    this.#addresses = {
      remote: this.remoteAddress(),
      local: { path: socketName(local?.socket ?? '') },
      control:
        control?.port === undefined
          ? { path: socketName(control?.socket ?? '') }
          : { host: '127.0.0.1', port: control.port },
    };
    lend(`ferry serve (${service.pid})`, () => this.#endSoon());
  }

  get pid(): number {
    return this.service.pid;
  }

  /** A directory beside the storage root. */
  get outside(): string {
    return this.directory.path;
  }

  /** PEM of the remote service's certificate; it is its own authority. */
  get certificatePath(): string | undefined {
    return this.certificate?.cert;
  }

  get port(): number {
    return this.service.ready.images?.port ?? 0;
  }

  /** @param tls  over the options that make a client trust our certificate; ignored for plain HTTP */
  remoteAddress(tls: ConnectionOptions = {}): Address {
    const plain = { host: '127.0.0.1', port: this.service.ready.images?.port ?? 0 };
    if (this.certificate === undefined) return plain;
    return { ...plain, tls: { ca: readFileSync(this.certificate.cert), servername: 'localhost', ...tls } };
  }

  /** Give it back with `await using`. */
  async connect(to: Transport = 'remote'): Promise<RawConnection> {
    return await RawConnection.open(this.#addresses[to]);
  }

  /** One request on a connection of its own. */
  async request(request: RawRequest, to: Transport = 'remote'): Promise<RawResponse> {
    await using connection = await this.connect(to);
    return await connection.request(request);
  }

  /** One request to the control service; a body that is no text is sent as JSON. */
  async control(method: string, path: string, body?: unknown): Promise<RawResponse> {
    const text = body === undefined || typeof body === 'string' ? body : toJson(body);
    return await this.request({ method, path, ...(text === undefined ? {} : { body: text }) }, 'control');
  }

  /** Makes a ticket: write, 300 s, for an image of 1 MiB, unless `fields` say otherwise. @returns its id */
  async ticket(fields: TicketFields): Promise<string> {
    const uuid = randomUUID();
    const body = { uuid, size: 1024 * 1024, ops: ['write'], timeout: 300, ...fields };
    const answer = await this.control('PUT', `/tickets/${encodeURIComponent(body.uuid)}`, body);
    if (answer.status !== 200) throw new Error(`the ticket was answered with ${answer.status}: ${answer.text()}`);
    return body.uuid;
  }

  /** What the service tells of a ticket. */
  async ticketInfo(id: string): Promise<Record<string, unknown>> {
    const answer = await this.control('GET', `/tickets/${id}`);
    if (answer.status !== 200) throw new Error(`the ticket was answered with ${answer.status}: ${answer.text()}`);
    return answer.json() as Record<string, unknown>;
  }

  /** Makes an image file with these bytes and a ticket of its size, or as `fields` say. */
  async image(content: Buffer, fields: TicketFields = {}): Promise<TestImage> {
    const path = join(this.storage, randomUUID());
    await writeFile(path, content);
    return await this.imageAt(path, { size: content.length, ...fields });
  }

  /** A ticket for a file or device that is there. */
  async imageAt(path: string, fields: TicketFields): Promise<TestImage> {
    const id = await this.ticket({ url: `file://${path}`, ...fields });
    return { id, url: `/images/${id}`, path, read: () => readFile(path) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.service[Symbol.asyncDispose]();
    this.#ended = true;
    await this.directory.release();
  }

  /** For the end of the test run, where nothing can be awaited: called until it no longer throws. */
  #endSoon(): void {
    if (this.#ended) return;
    if (this.#askedMs === undefined) {
      this.#askedMs = Date.now();
      void this[Symbol.asyncDispose]();
    } else if (Date.now() - this.#askedMs > PATIENCE_MS) process.kill(this.pid, 'SIGKILL');
    throw new Error('it has not ended yet');
  }

  #ended = false;
  #askedMs: number | undefined;
}

/** @param value  bigints become plain numbers */
function toJson(value: unknown): string {
  const marked = JSON.stringify(value, (_key, v) => (typeof v === 'bigint' ? `bigint:${v}` : v));
  return marked.replace(/"bigint:(\d+)"/g, '$1');
}

/** `@name`, as in the configuration, is an abstract one. */
function socketName(text: string): string {
  return text.replace(/^@/, '\0');
}

interface Certificate {
  readonly cert: string;
  readonly key: string;
}

async function makeCertificate(directory: TempDir): Promise<Certificate> {
  const [cert, key] = [directory.join('cert.pem'), directory.join('key.pem')];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  await run('openssl', ['req', '-x509', ...kind, ...names, '-keyout', key, '-out', cert]);
  return { cert, key };
}
