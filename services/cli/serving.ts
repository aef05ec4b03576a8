/**
 * Puts the services together: which parts `ferry serve`, `ferry api` and `ferry node` run, and in which
 * order they start and stop. The one place in which services meet. A part that does not run is not loaded either.
 */
import type { Config } from '../../shared/config.js';
import { FerryError } from '../../shared/errors.js';
import type { Log } from '../../shared/log.js';
import { JobStore } from '../../shared/queue/job-store.js';
import type { ImagesAddresses } from '../images/server.js';
import type { Parts } from './lifecycle.js';
import { registerQueue, registerQueueUp } from './metrics/queue.js';
import { createMetrics } from './metrics/registry.js';
import { version } from './version.js';

export interface Composition {
  readonly api: boolean;
  readonly node: boolean;
  /** Whether the embedded queue server may be used when no FERRY_REDIS_URL is set. */
  readonly embeddedQueue: boolean;
}

/** The line on stdout that says that a server is ready (design §7). */
export interface Ready extends ImagesAddresses {
  readonly msg: 'ready';
  readonly api?: { readonly url: string };
  /** Of a node without an API; an API shows them itself. */
  readonly metrics?: { readonly url: string };
}

/**
 * Starts the parts in order and hands each to `parts`, so that a failure closes what ran already.
 * The API listens before the node takes its first job: a port in use is known before any work begins.
 * @throws FerryError CONFIG_INVALID, QUEUE_UNAVAILABLE, NATIVE_MODULE
 */
export async function startParts(
  composition: Composition,
  config: Config,
  programLog: Log,
  parts: Parts,
  signal: AbortSignal,
): Promise<Ready> {
  const log = composition.node ? programLog.child({ node: config.nodeName }) : programLog;
  const metrics = createMetrics(version(), composition.node ? config.nodeName : null);
  parts.add('metrics', async () => metrics.stop());
  const { registry } = metrics;
  const redisUrl = config.redisUrl ?? (await embeddedQueue(composition, config, log, parts, signal));
  signal.throwIfAborted();
  const jobs = await JobStore.open({ redisUrl, config, log });
  parts.add('jobs', () => jobs.close());
  signal.throwIfAborted();
  const ready: { -readonly [Part in keyof Ready]: Ready[Part] } = { msg: 'ready' };
  if (composition.api) {
    const { PlanClient } = await import('../../shared/queue/plans.js');
    const { startApi } = await import('../api/server.js');
    const plans = new PlanClient({ redisUrl, log });
    parts.add('plans', () => plans.close());
    // `ferry serve` runs the jobs itself: what it may not touch is refused at once, even when that is everything.
    const check = composition.node ? { checkStorage: true } : {};
    registerQueue(registry, jobs, log);
    const api = await startApi({ config, log, jobs, plans, version: version(), metrics: registry, ...check });
    parts.add('api', () => api.close());
    ready.api = { url: api.url };
  } else if (config.metrics !== null) {
    const { startMetricsServer } = await import('../api/metrics-server.js');
    registerQueueUp(registry, jobs, log);
    const { token } = config.api;
    const server = await startMetricsServer({ ...config.metrics, token, log, metrics: registry });
    parts.add('metrics server', () => server.close());
    ready.metrics = { url: server.url };
  }
  signal.throwIfAborted();
  if (composition.node) {
    const { Workers } = await import('../../workers/pool.js');
    const { startImages } = await import('../images/server.js');
    const { startTransferNode } = await import('../transfer/node.js');
    const workers = new Workers({ threads: config.threads, bufferBytes: config.bufferBytes });
    parts.add('threads', () => workers.close());
    const images = await startImages({ config, log, workers, version: version() });
    parts.add('images', () => images.close());
    Object.assign(ready, images.addresses);
    const node = await startTransferNode({
      config,
      log,
      redisUrl,
      jobs,
      workers,
      plane: images,
      version: version(),
      metrics: registry,
    });
    parts.add('node', () => node.close());
    if (config.storageRoots.length === 0) {
      log.warn('FERRY_STORAGE_ROOTS is not set: every job will be refused');
    }
  }
  signal.throwIfAborted();
  return ready;
}

async function embeddedQueue(
  composition: Composition,
  config: Config,
  log: Log,
  parts: Parts,
  signal: AbortSignal,
): Promise<string> {
  if (!composition.embeddedQueue) {
    throw new FerryError(
      'CONFIG_INVALID',
      'FERRY_REDIS_URL: needed here, since API and nodes meet in one Redis; ' +
        'set it (or --redis-url) to the same server for all, or use "ferry serve" for a single machine',
    );
  }
  const { startEmbeddedRedis } = await import('./embedded-redis.js');
  const redis = await startEmbeddedRedis(config.dataDir, log.child({ part: 'queue-server' }), signal);
  parts.add('queue server', () => redis.stop());
  return redis.url;
}
