/**
 * All configuration: environment variables, read once, validated, typed (design §7).
 * Nothing else in the project reads `process.env`.
 * Secrets are marked, so that `describeConfig` can hide them.
 */
import { readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { availableParallelism, homedir, hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { FerryError } from './errors.js';
import { PoolName } from './schemas/common.js';
import { MiB } from './units.js';

/** Digits only: `Number()` would also take '', ' ' (as 0), '0x10' and '1e3'. */
const integer = (min: number, max: number) =>
  z
    .string()
    .trim()
    .regex(/^\d{1,16}$/, `must be a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((n) => n >= min && n <= max, `must be a whole number from ${min} to ${max}`);
/** A path, `@name` for a name in Linux's abstract name space, or `off`. The kernel takes 107 bytes. */
const socket = z
  .string()
  .refine((text) => text === 'off' || /^[/@]./.test(text), 'must be an absolute path, @name (abstract), or off')
  .refine((text) => Buffer.byteLength(text) <= 107, 'must have at most 107 bytes');
const colonList = z.string().transform((text) => text.split(':').filter((part) => part !== ''));

const Environment = z.object({
  FERRY_API_HOST: z.string().min(1).default('127.0.0.1'),
  FERRY_API_PORT: integer(0, 65535).default(8080),
  FERRY_API_TOKEN: z.string().min(8, 'must have at least 8 characters').optional(),
  FERRY_API_TOKEN_FILE: z.string().optional(),
  FERRY_REDIS_URL: z
    .string()
    .regex(/^(redis|rediss):\/\/|^unix:\/\/\//, 'must be redis://…, rediss://… or unix:///path')
    .optional(),
  FERRY_DATA_DIR: z.string().startsWith('/', 'must be an absolute path').optional(),
  FERRY_STORAGE_ROOTS: colonList
    .pipe(z.array(z.string().startsWith('/', 'every root must be an absolute path')))
    .default([]),
  // Beside these, sockets inside the storage roots. A client that may name any host could reach through us into our network.
  FERRY_NBD_HOSTS: z
    .string()
    .transform((text) => text.split(',').map((host) => host.trim().toLowerCase()))
    .pipe(z.array(z.string().regex(/^(\*|\[?[a-z0-9._:-]+\]?)$/, 'must be hosts, host:port or *, separated by commas')))
    .default(['localhost', '127.0.0.1', '::1']),
  FERRY_POOLS: z
    .string()
    .transform((text) => text.split(/[,:]/).filter((part) => part !== ''))
    .pipe(z.array(PoolName).min(1))
    .default(['default']),
  FERRY_NODE_NAME: z.string().min(1).max(255).optional(),
  // More threads than cores: they wait for disks, they do not compute. Each costs about 10 MiB of memory.
  FERRY_THREADS: integer(1, 512).default(Math.max(4, Math.min(64, availableParallelism() * 4))),
  FERRY_CONCURRENCY: integer(1, 1024).default(4),
  // Bytes of transfer buffers over all jobs of a node; each step in flight holds one buffer.
  FERRY_BUFFER_BYTES: integer(4 * MiB, 64 * 1024 * MiB).default(64 * MiB),
  FERRY_JOB_ATTEMPTS: integer(1, 100).default(3),
  FERRY_RETRY_DELAY_MS: integer(0, 3_600_000).default(1000),
  // How often a running job is made durable. Shorter loses less to a crash and costs a flush each time.
  FERRY_FLUSH_INTERVAL_MS: integer(100, 3_600_000).default(10_000),
  // How long a node that does not answer keeps its jobs. Shorter: taken over sooner, but a busy node may lose some.
  FERRY_LEASE_MS: integer(1000, 600_000).default(10_000),
  // Over all jobs of this node, in bytes per second; unset: no limit.
  FERRY_BANDWIDTH: integer(64 * 1024, Number.MAX_SAFE_INTEGER).optional(),
  // Over all nodes, one for each pool: `default=8,fast=4`; `default=0` lifts the limit again.
  FERRY_POOL_CONCURRENCY: z
    .string()
    .transform((text) => text.split(',').filter((part) => part !== ''))
    .pipe(z.array(z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}=\d{1,6}$/, 'must be such as default=8,fast=4')))
    .default([]),
  FERRY_IMAGES_HOST: z.string().min(1).default('::'),
  FERRY_IMAGES_PORT: z.union([z.literal('off'), integer(0, 65535)]).default(54322),
  // What tickets of jobs name when clients reach the node by another address.
  FERRY_IMAGES_URL: z.string().refine(isServerUrl, 'must be a URL such as https://node-1.example.com:54322').optional(),
  FERRY_TLS: z.enum(['on', 'off']).optional(),
  FERRY_TLS_CERT: z.string().optional(),
  FERRY_TLS_KEY: z.string().optional(),
  FERRY_TLS_CA: z.string().optional(),
  FERRY_LOCAL_SOCKET: socket.optional(),
  FERRY_CONTROL_SOCKET: socket.optional(),
  FERRY_CONTROL_PORT: z.union([z.literal('off'), integer(0, 65535)]).default('off'),
  FERRY_MAX_CONNECTIONS: integer(1, 1024).default(8),
  // Seconds, both, as the clients of the data plane count.
  FERRY_INACTIVITY_TIMEOUT: integer(1, 10 * 365 * 86_400).default(60),
  FERRY_REMOVE_TIMEOUT: integer(0, 86_400).default(60),
  // Seconds. A job whose client does nothing holds its target and a place of the node.
  FERRY_CLIENT_TIMEOUT: integer(1, 86_400).default(300),
  FERRY_METRICS_HOST: z.string().min(1).default('127.0.0.1'),
  FERRY_METRICS_PORT: integer(0, 65535).optional(),
  FERRY_KEEP_JOBS_SECONDS: integer(0, 10 * 365 * 86_400).default(7 * 86_400),
  FERRY_KEEP_JOBS_COUNT: integer(0, 10_000_000).default(10_000),
  FERRY_LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

/** What programs that only talk to the API read. */
const ClientEnvironment = Environment.pick({
  FERRY_API_HOST: true,
  FERRY_API_PORT: true,
  FERRY_API_TOKEN: true,
  FERRY_API_TOKEN_FILE: true,
  FERRY_LOG_LEVEL: true,
}).extend({
  FERRY_API_URL: z
    .string()
    .refine(isServerUrl, 'must be a URL such as http://127.0.0.1:8080, without a password in it')
    .optional(),
});

/** The name of every variable we read; `docs/configuration.md` describes each. */
export const VARIABLES: readonly string[] = [
  ...new Set([...Object.keys(Environment.shape), ...Object.keys(ClientEnvironment.shape)]),
];

export interface ClientConfig {
  /** Of the API; without a slash at its end. */
  readonly url: string;
  readonly token: string | null;
  readonly logLevel: string;
}

/** The data plane of a node. */
export interface ImagesConfig {
  readonly host: string;
  /** null: the remote service does not run. */
  readonly port: number | null;
  /** How clients elsewhere reach the remote service, without a slash at its end; null: by its own address. */
  readonly url: string | null;
  /** Paths of PEM files; null: plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string | null } | null;
  /** Paths; one that starts with NUL is an abstract name; null: the service does not run. */
  readonly localSocket: string | null;
  readonly controlSocket: string | null;
  /** On loopback. */
  readonly controlPort: number | null;
  /** Of one ticket. */
  readonly maxConnections: number;
  readonly inactivityTimeoutSeconds: number;
  readonly removeTimeoutSeconds: number;
}

export interface Config {
  readonly api: { readonly host: string; readonly port: number; readonly token: string | null };
  /** null: the embedded queue server in `dataDir`. */
  readonly redisUrl: string | null;
  readonly dataDir: string;
  readonly storageRoots: readonly string[];
  /** NBD servers that may be talked to: `host`, `host:port` or `*`. */
  readonly nbdHosts: readonly string[];
  readonly pools: readonly string[];
  readonly nodeName: string;
  readonly threads: number;
  /** Jobs that run at once on this node. */
  readonly concurrency: number;
  readonly bufferBytes: number;
  readonly jobAttempts: number;
  readonly retryDelayMs: number;
  readonly flushIntervalMs: number;
  readonly leaseMs: number;
  readonly bandwidthBytesPerSecond: number | null;
  /** Pool → most jobs at once over all nodes; null lifts the limit. */
  readonly poolConcurrency: ReadonlyMap<string, number | null>;
  readonly images: ImagesConfig;
  /** How long the client of a job may do nothing. */
  readonly clientTimeoutSeconds: number;
  /** Where a node without an API tells its metrics, to who has the token of the API; null: nowhere. */
  readonly metrics: { readonly host: string; readonly port: number } | null;
  readonly keepJobs: { readonly seconds: number; readonly count: number };
  readonly logLevel: string;
}

export type Env = Readonly<Record<string, string | undefined>>;

/**
 * Reads and checks the environment. Blocks for one small file when FERRY_API_TOKEN_FILE is set.
 * @throws FerryError CONFIG_INVALID  the message names every variable that is wrong, and what was expected
 */
export function readConfig(env: Env = process.env): Config {
  const e = check(Environment, env);
  const token = e.FERRY_API_TOKEN ?? (e.FERRY_API_TOKEN_FILE === undefined ? null : readToken(e.FERRY_API_TOKEN_FILE));
  if (token === null) {
    refuseBeyondLoopback('FERRY_API_HOST', e.FERRY_API_HOST);
    if (e.FERRY_METRICS_PORT !== undefined) refuseBeyondLoopback('FERRY_METRICS_HOST', e.FERRY_METRICS_HOST);
  }
  const dataDir = e.FERRY_DATA_DIR ?? join(env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'imageferry');
  return {
    api: { host: e.FERRY_API_HOST, port: e.FERRY_API_PORT, token },
    redisUrl: e.FERRY_REDIS_URL ?? null,
    dataDir,
    storageRoots: e.FERRY_STORAGE_ROOTS,
    nbdHosts: e.FERRY_NBD_HOSTS,
    pools: e.FERRY_POOLS,
    nodeName: e.FERRY_NODE_NAME ?? `${hostname()}-${process.pid}`,
    threads: e.FERRY_THREADS,
    concurrency: e.FERRY_CONCURRENCY,
    bufferBytes: e.FERRY_BUFFER_BYTES,
    jobAttempts: e.FERRY_JOB_ATTEMPTS,
    retryDelayMs: e.FERRY_RETRY_DELAY_MS,
    flushIntervalMs: e.FERRY_FLUSH_INTERVAL_MS,
    leaseMs: e.FERRY_LEASE_MS,
    bandwidthBytesPerSecond: e.FERRY_BANDWIDTH ?? null,
    poolConcurrency: new Map(
      e.FERRY_POOL_CONCURRENCY.map((text) => {
        const [pool, limit] = text.split('=') as [string, string];
        return [pool, Number(limit) || null];
      }),
    ),
    images: imagesConfig(e, dataDir),
    clientTimeoutSeconds: e.FERRY_CLIENT_TIMEOUT,
    metrics: e.FERRY_METRICS_PORT === undefined ? null : { host: e.FERRY_METRICS_HOST, port: e.FERRY_METRICS_PORT },
    keepJobs: { seconds: e.FERRY_KEEP_JOBS_SECONDS, count: e.FERRY_KEEP_JOBS_COUNT },
    logLevel: e.FERRY_LOG_LEVEL,
  };
}

function imagesConfig(e: z.output<typeof Environment>, dataDir: string): ImagesConfig {
  const { FERRY_TLS_CERT: cert, FERRY_TLS_KEY: key } = e;
  const port = e.FERRY_IMAGES_PORT === 'off' ? null : e.FERRY_IMAGES_PORT;
  let tls: ImagesConfig['tls'] = null;
  if ((e.FERRY_TLS ?? (cert === undefined ? 'off' : 'on')) === 'on') {
    if (cert === undefined) throw new FerryError('CONFIG_INVALID', 'FERRY_TLS_CERT: needed for FERRY_TLS=on');
    if (key === undefined) throw new FerryError('CONFIG_INVALID', 'FERRY_TLS_KEY: needed for FERRY_TLS=on');
    tls = { cert, key, ca: e.FERRY_TLS_CA ?? null };
  }
  return {
    host: e.FERRY_IMAGES_HOST,
    port,
    url: e.FERRY_IMAGES_URL?.replace(/\/+$/, '') ?? null,
    tls,
    localSocket: socketPath(e.FERRY_LOCAL_SOCKET ?? join(dataDir, 'images.sock')),
    controlSocket: socketPath(e.FERRY_CONTROL_SOCKET ?? join(dataDir, 'control.sock')),
    controlPort: e.FERRY_CONTROL_PORT === 'off' ? null : e.FERRY_CONTROL_PORT,
    maxConnections: e.FERRY_MAX_CONNECTIONS,
    inactivityTimeoutSeconds: e.FERRY_INACTIVITY_TIMEOUT,
    removeTimeoutSeconds: e.FERRY_REMOVE_TIMEOUT,
  };
}

function socketPath(text: string): string | null {
  if (text === 'off') return null;
  return text.startsWith('@') ? `\0${text.slice(1)}` : text;
}

/**
 * Reads what a client of the API needs: where it is and the token. Without FERRY_API_URL the server is the one
 * that this environment would start on this machine.
 * @throws FerryError CONFIG_INVALID  the message names every variable that is wrong
 */
export function readClientConfig(env: Env = process.env): ClientConfig {
  const e = check(ClientEnvironment, env);
  return {
    url: e.FERRY_API_URL?.replace(/\/+$/, '') ?? localUrl(e.FERRY_API_HOST, e.FERRY_API_PORT),
    token: e.FERRY_API_TOKEN ?? (e.FERRY_API_TOKEN_FILE === undefined ? null : readToken(e.FERRY_API_TOKEN_FILE)),
    logLevel: e.FERRY_LOG_LEVEL,
  };
}

function check<Schema extends z.ZodType>(schema: Schema, env: Env): z.output<Schema> {
  // An empty variable is an unset one: that is what `FERRY_X= ferry serve` means to people.
  const set = Object.fromEntries(
    Object.entries(env).filter(([key, value]) => key.startsWith('FERRY_') && value !== ''),
  );
  const parsed = schema.safeParse(set);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) => `${issue.path[0]?.toString()}: ${issue.message}`);
  throw new FerryError('CONFIG_INVALID', problems.join('; '));
}

/** A server that listens on every address is reached through the loopback. */
function localUrl(host: string, port: number): string {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${isIPv6(reachable) ? `[${reachable}]` : reachable}:${port}`;
}

function isServerUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  return /^https?:$/.test(url.protocol) && url.username === '' && url.password === '';
}

/** The configuration as it may be shown: the token and a password in the Redis URL are hidden. */
export function describeConfig(config: Config): unknown {
  return {
    ...config,
    poolConcurrency: Object.fromEntries(config.poolConcurrency),
    api: { ...config.api, token: config.api.token === null ? null : '(hidden)' },
    redisUrl: config.redisUrl?.replace(/(:\/\/[^:@/]*):[^@/]*@/, '$1:(hidden)@') ?? null,
  };
}

function readToken(path: string): string {
  let token: string;
  try {
    token = readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw new FerryError('CONFIG_INVALID', `FERRY_API_TOKEN_FILE: ${(cause as Error).message}`, { path }, { cause });
  }
  if (token.length >= 8) return token;
  throw new FerryError('CONFIG_INVALID', 'FERRY_API_TOKEN_FILE: the token must have at least 8 characters', { path });
}

function refuseBeyondLoopback(variable: string, host: string): void {
  if (isLoopback(host)) return;
  const why = 'needs a token: set FERRY_API_TOKEN or FERRY_API_TOKEN_FILE';
  throw new FerryError('CONFIG_INVALID', `${variable}: listening on ${host} ${why}`);
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
