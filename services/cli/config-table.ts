/** The configuration variable by variable, as people set it: which value holds, and where it comes from. */
import type { Config, Env } from '../../shared/config.js';

export interface Setting {
  readonly variable: string;
  readonly value: string;
  readonly from: 'flag' | 'environment' | 'default';
}

/** The configuration with its secrets hidden, as JSON can hold it. */
export type ShownConfig = Omit<Config, 'poolConcurrency'> & {
  readonly poolConcurrency: Readonly<Record<string, number | null>>;
};

export function settings(shown: ShownConfig, env: Env, fromFlags: ReadonlySet<string>): Setting[] {
  const values: Record<string, string | number | null> = {
    FERRY_API_HOST: shown.api.host,
    FERRY_API_PORT: shown.api.port,
    FERRY_API_TOKEN: shown.api.token,
    FERRY_REDIS_URL: shown.redisUrl ?? '(embedded)',
    FERRY_DATA_DIR: shown.dataDir,
    FERRY_STORAGE_ROOTS: shown.storageRoots.join(':') || '(nothing is allowed)',
    FERRY_NBD_HOSTS: shown.nbdHosts.join(','),
    FERRY_POOLS: shown.pools.join(','),
    FERRY_NODE_NAME: shown.nodeName,
    FERRY_THREADS: shown.threads,
    FERRY_CONCURRENCY: shown.concurrency,
    FERRY_BUFFER_BYTES: shown.bufferBytes,
    FERRY_BANDWIDTH: shown.bandwidthBytesPerSecond,
    FERRY_POOL_CONCURRENCY:
      Object.entries(shown.poolConcurrency)
        .map(([pool, limit]) => `${pool}=${limit ?? 0}`)
        .join(',') || null,
    FERRY_LEASE_MS: shown.leaseMs,
    FERRY_IMAGES_HOST: shown.images.host,
    FERRY_IMAGES_PORT: shown.images.port ?? 'off',
    FERRY_IMAGES_URL: shown.images.url,
    FERRY_TLS: shown.images.tls === null ? 'off' : 'on',
    FERRY_TLS_CERT: shown.images.tls?.cert ?? null,
    FERRY_TLS_KEY: shown.images.tls?.key ?? null,
    FERRY_TLS_CA: shown.images.tls?.ca ?? null,
    FERRY_LOCAL_SOCKET: socketName(shown.images.localSocket),
    FERRY_CONTROL_SOCKET: socketName(shown.images.controlSocket),
    FERRY_CONTROL_PORT: shown.images.controlPort ?? 'off',
    FERRY_MAX_CONNECTIONS: shown.images.maxConnections,
    FERRY_INACTIVITY_TIMEOUT: shown.images.inactivityTimeoutSeconds,
    FERRY_CLIENT_TIMEOUT: shown.clientTimeoutSeconds,
    FERRY_REMOVE_TIMEOUT: shown.images.removeTimeoutSeconds,
    FERRY_METRICS_HOST: shown.metrics?.host ?? null,
    FERRY_METRICS_PORT: shown.metrics?.port ?? null,
    FERRY_JOB_ATTEMPTS: shown.jobAttempts,
    FERRY_RETRY_DELAY_MS: shown.retryDelayMs,
    FERRY_FLUSH_INTERVAL_MS: shown.flushIntervalMs,
    FERRY_KEEP_JOBS_SECONDS: shown.keepJobs.seconds,
    FERRY_KEEP_JOBS_COUNT: shown.keepJobs.count,
    FERRY_LOG_LEVEL: shown.logLevel,
  };
  return Object.entries(values).map(([variable, value]) => ({
    variable,
    value: value === null ? '(none)' : String(value),
    from: fromFlags.has(variable) ? 'flag' : isSet(variable, env) ? 'environment' : 'default',
  }));
}

/** As the variable is written. */
function socketName(path: string | null): string {
  return path?.replace(/^\0/, '@') ?? 'off';
}

/** The token may come from a file that another variable names. */
function isSet(variable: string, env: Env): boolean {
  const also = variable === 'FERRY_API_TOKEN' ? [env.FERRY_API_TOKEN_FILE] : [];
  return [env[variable], ...also].some((value) => value !== undefined && value !== '');
}
