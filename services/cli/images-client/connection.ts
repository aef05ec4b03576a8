/**
 * One kept-alive HTTP connection to a data plane, over TCP, TLS or a unix socket. One request at a time; it connects
 * again by itself when the server has closed it meanwhile. Knows nothing of images.
 */
import {
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { Socket } from 'node:net';
import { FerryError } from '../../../shared/errors.js';
import { loadNative } from '../../../workers/native/index.js';

export interface Endpoint {
  /** `http:` or `https:`; of a unix socket only the path counts. */
  readonly url: URL;
  /** Path or abstract name (beginning with NUL); null: what `url` says. */
  readonly socketPath: string | null;
  /** PEM; null: the authorities that this machine trusts. */
  readonly authorities: Buffer | null;
}

export interface HttpRequest {
  readonly method: 'GET' | 'OPTIONS' | 'PATCH' | 'PUT';
  /** Behind the path of the endpoint's URL, such as `/extents?context=zero`. */
  readonly suffix?: string;
  readonly headers?: Readonly<Record<string, string | number>>;
  readonly body?: Uint8Array;
  /** Takes the body of a good answer piece by piece; the answer's `text` is empty then. */
  readonly receive?: (piece: Uint8Array) => void;
  /** Work that may take the server as long as it likes: a flush, a checksum. */
  readonly patient?: boolean;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** A server that moves no byte for so long is gone; slow storage is not that slow. */
const SILENCE_MS = 300_000;
/** A machine that is gone is noticed by TCP, also under a request that may take long. */
const KEEP_ALIVE_MS = 15_000;

/** The connection broke before the answer was complete: what was asked may have been done, or not. */
export class ConnectionBroken extends FerryError {
  /** Whether there ever was a connection. */
  constructor(
    readonly reached: boolean,
    endpoint: Endpoint,
    cause: unknown,
  ) {
    super('NODE_UNAVAILABLE', `No answer from ${nameOf(endpoint)}: ${reason(cause)}`, {}, { cause });
  }
}

export class Connection {
  readonly #agent: HttpAgent;
  readonly #tls: boolean;

  constructor(readonly endpoint: Endpoint) {
    this.#tls = endpoint.socketPath === null && endpoint.url.protocol === 'https:';
    const options = { keepAlive: true, keepAliveMsecs: KEEP_ALIVE_MS, maxSockets: 1 };
    const ca = endpoint.authorities === null ? {} : { ca: endpoint.authorities };
    const isAbstract = endpoint.socketPath?.startsWith('\0') === true;
    if (this.#tls) this.#agent = new HttpsAgent({ ...options, ...ca });
    else this.#agent = isAbstract ? new AbstractAgent(options) : new HttpAgent(options);
  }

  /**
   * @returns the answer, whatever its status
   * @throws ConnectionBroken
   * @throws the signal's reason when it is aborted
   */
  async send(ask: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    signal.throwIfAborted();
    try {
      return await this.#exchange(ask, signal);
    } catch (thrown) {
      signal.throwIfAborted();
      // Whoever connects by himself (an abstract name) tells of a failure by throwing.
      throw thrown instanceof ConnectionBroken ? thrown : new ConnectionBroken(false, this.endpoint, thrown);
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  async #exchange({ method, suffix = '', headers, body, receive, patient }: HttpRequest, signal: AbortSignal) {
    const { endpoint } = this;
    const { url, socketPath } = endpoint;
    let reached = false;
    return await new Promise<HttpAnswer>((resolve, reject) => {
      const broken = (cause: unknown) => reject(new ConnectionBroken(reached, endpoint, cause));
      const options: RequestOptions = {
        agent: this.#agent,
        method,
        path: url.pathname + suffix,
        headers: { ...headers, ...(body === undefined ? {} : { 'Content-Length': body.length }) },
        signal,
        ...(patient === true ? {} : { timeout: SILENCE_MS }),
        ...whereTo(url, socketPath),
      };
      const request = this.#tls ? httpsRequest(options) : httpRequest(options);
      request.on('socket', (socket) => {
        const connected = () => {
          reached = true;
        };
        if (socket.connecting) socket.once(this.#tls ? 'secureConnect' : 'connect', connected);
        else connected();
      });
      request.on('timeout', () => request.destroy(new Error(`nothing came for ${SILENCE_MS / 1000} s`)));
      request.on('error', broken);
      request.on('response', (response) => {
        readAnswer(response, receive).then(resolve, broken);
      });
      request.end(body);
    });
  }
}

function whereTo({ hostname, port }: URL, socketPath: string | null): RequestOptions {
  // Of an abstract name the agent takes care.
  return socketPath === null ? { host: hostname.replace(/^\[|\]$/g, ''), port } : { socketPath };
}

/** Node.js would fill an abstract name up with NULs, which makes another name of it. */
class AbstractAgent extends HttpAgent {
  override createConnection({ socketPath }: RequestOptions): Socket {
    return new Socket({ fd: loadNative().connectAbstract(Buffer.from(String(socketPath).slice(1))) });
  }
}

async function readAnswer(response: IncomingMessage, receive: HttpRequest['receive']): Promise<HttpAnswer> {
  const status = response.statusCode ?? 0;
  const pieces: Uint8Array[] = [];
  const take = receive !== undefined && status < 300 ? receive : (piece: Uint8Array) => void pieces.push(piece);
  for await (const piece of response) take(piece);
  return { status, headers: response.headers, text: Buffer.concat(pieces).toString() };
}

/** Without the path: who knows that may use the ticket. */
function nameOf({ url, socketPath }: Endpoint): string {
  return socketPath === null ? url.origin : socketPath.replace(/^\0/, '@');
}

function reason(thrown: unknown): string {
  if (thrown instanceof AggregateError && thrown.errors.length > 0) return reason(thrown.errors[0]);
  const { code, message } = thrown as { code?: string; message?: string };
  if (code === 'ECONNREFUSED') return 'nothing listens there';
  return message !== undefined && message !== '' ? message : String(code ?? thrown);
}
