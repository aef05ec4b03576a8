/** The control plane as a running server. */
import { setMaxListeners } from 'node:events';
import { createServer } from 'node:http';
import { createApp } from './app.js';
import type { ApiContext } from './context.js';
import { closeServer, listen } from './listen.js';

export interface ApiOptions extends Omit<ApiContext, 'closing' | 'checkStorage' | 'heartbeatMs'> {
  /**
   * True: check pools and paths of a request against `config` before it is queued. Right when a node of this
   * machine runs the jobs; `ferry api` without storage roots has nothing to check. Default: when there are roots.
   */
  readonly checkStorage?: boolean;
  /** Default: 15 s, shorter than the idle limits of common proxies. */
  readonly heartbeatMs?: number;
}

export interface RunningApi {
  /** Such as `http://127.0.0.1:8080`, with the port that was found when 0 was asked for. */
  readonly url: string;
  /** Answers what is under way (long polls at once, event streams end), then closes. Safe to repeat. */
  close(): Promise<void>;
}

// A request, body included, must arrive within this time; answers may take as long as they need.
const REQUEST_TIMEOUT_MS = 60_000;
const HEADERS_TIMEOUT_MS = 20_000;
// Longer than the 60 s that proxies commonly keep an idle connection: then they close it, not we under a request.
const KEEP_ALIVE_MS = 65_000;
const HEARTBEAT_MS = 15_000;

/**
 * Starts to listen. The caller keeps `jobs` and `plans` and closes them after this.
 * @throws FerryError CONFIG_INVALID  the address cannot be listened on
 */
export async function startApi(options: ApiOptions): Promise<RunningApi> {
  const closing = new AbortController();
  // One listener for each long poll and event stream.
  setMaxListeners(0, closing.signal);
  const context: ApiContext = {
    ...options,
    log: options.log.child({ part: 'api' }),
    heartbeatMs: options.heartbeatMs ?? HEARTBEAT_MS,
    checkStorage: options.checkStorage ?? options.config.storageRoots.length > 0,
    closing: closing.signal,
  };
  const server = createServer(createApp(context));
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.headersTimeout = HEADERS_TIMEOUT_MS;
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  const url = await listen(server, options.config.api, 'FERRY_API_HOST, FERRY_API_PORT');
  let closed: Promise<void> | undefined;
  return {
    url,
    close: () => {
      closing.abort();
      closed ??= closeServer(server);
      return closed;
    },
  };
}
