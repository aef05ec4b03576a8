/**
 * A whole `ferry serve` as its users run it: a process of its own, an embedded queue server, real HTTP.
 * `await using service = await startService({ roots: [dir.path] });`
 */
import { cleanUp, FERRY, start, temporaryDirectory } from '../integration/cli/programs.js';
import { type Api, connectApi } from './api-client.js';

export { injectFaults, type Tracer } from './tracer.js';

export interface ServiceOptions {
  readonly roots: readonly string[];
  /** Default: a new one, removed at the end. Give one to start again where an earlier service stopped. */
  readonly dataDir?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** What a program says when it is ready; parts that do not run are left out. */
export interface Ready {
  readonly api?: { readonly url: string };
  readonly images?: { readonly host: string; readonly port: number };
  readonly local?: { readonly socket: string };
  readonly control?: { readonly socket?: string; readonly port?: number };
}

export interface Service extends Api, AsyncDisposable {
  readonly pid: number;
  readonly ready: Ready;
  readonly dataDir: string;
  /** @returns the exit code, null when the signal ended it */
  end(signal: NodeJS.Signals): Promise<number | null>;
  stderr(): string;
}

export async function startService(options: ServiceOptions): Promise<Service> {
  const dataDir = options.dataDir ?? (await temporaryDirectory());
  const program = start(FERRY, ['serve'], {
    FERRY_API_PORT: '0',
    FERRY_DATA_DIR: dataDir,
    FERRY_STORAGE_ROOTS: options.roots.join(':'),
    FERRY_RETRY_DELAY_MS: '100',
    // Each one takes time to start, and programs are started by the hundred.
    FERRY_THREADS: '4',
    ...options.env,
  });
  const ready = JSON.parse(await program.line()) as Ready & { api: { url: string } };
  let exited: number | null | undefined;
  return {
    ...connectApi(ready.api.url),
    pid: program.pid,
    ready,
    dataDir,
    async end(signal) {
      exited = await program.end(signal);
      return exited;
    },
    stderr: program.stderr,
    async [Symbol.asyncDispose]() {
      if (exited === undefined) await program.end('SIGTERM');
      if (options.dataDir === undefined) await cleanUp(dataDir);
    },
  };
}
