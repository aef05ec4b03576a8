/**
 * What the queue holds, asked of Redis when Prometheus asks us. While Redis is away `ferry_queue_up` is 0 and the other
 * numbers of the queue are missing: an old number would look like a true one.
 */
import { Gauge, type Registry } from 'prom-client';
import type { Log } from '../../../shared/log.js';
import type { PoolDepth } from '../../../shared/queue/depth.js';
import type { JobStore } from '../../../shared/queue/job-store.js';
import { within } from '../../../shared/queue/patience.js';
import { NODE_STATES, type NodeView } from '../../../shared/schemas/node.js';
import { JOB_STATES } from '../../../shared/states.js';

/** Prometheus waits for 10 s by default; the rest of the answer must not be lost to a Redis that hangs. */
const PATIENCE_MS = 3000;

interface Queue {
  readonly depth: ReadonlyMap<string, PoolDepth>;
  readonly nodes: readonly NodeView[];
}

type Jobs = Pick<JobStore, 'depth' | 'nodes' | 'ping'>;

/** Whether the queue can be reached: for a process that does not show what is in it. */
export function registerQueueUp(registry: Registry, jobs: Jobs, log: Log): void {
  const look = shared(() => within(PATIENCE_MS, jobs.ping()).then(() => true), log);
  registerUp(registry, look);
}

/** All of the queue: for a process with an API. With several APIs each shows the same numbers. */
export function registerQueue(registry: Registry, jobs: Jobs, log: Log): void {
  const look = shared(async (): Promise<Queue> => {
    const [depth, nodes] = await within(PATIENCE_MS, Promise.all([jobs.depth(), jobs.nodes()]));
    return { depth, nodes };
  }, log);
  registerUp(registry, look);
  new Gauge({
    name: 'ferry_jobs',
    help: 'Jobs that the queue knows, by pool and state; ended ones as long as they are kept',
    labelNames: ['pool', 'state'],
    registers: [registry],
    async collect() {
      const queue = await look();
      this.reset();
      for (const [pool, { jobs }] of queue?.depth ?? [])
        for (const state of JOB_STATES) this.set({ pool, state }, jobs[state] ?? 0);
    },
  });
  new Gauge({
    name: 'ferry_queue_waiting_jobs',
    help: 'Queued jobs by what they wait for: a node, the time of another try, or a place in their batch',
    labelNames: ['pool', 'waits_for'],
    registers: [registry],
    async collect() {
      const queue = await look();
      this.reset();
      for (const [pool, { waiting }] of queue?.depth ?? [])
        for (const [reason, count] of Object.entries(waiting)) this.set({ pool, waits_for: reason }, count);
    },
  });
  new Gauge({
    name: 'ferry_nodes',
    help: 'Nodes heard of within a day, by state; lost: silent, and its jobs are taken over',
    labelNames: ['state'],
    registers: [registry],
    async collect() {
      const queue = await look();
      this.reset();
      if (queue === null) return;
      for (const state of NODE_STATES) this.set({ state }, queue.nodes.filter((node) => node.state === state).length);
    },
  });
}

function registerUp(registry: Registry, look: () => Promise<unknown>): void {
  new Gauge({
    name: 'ferry_queue_up',
    help: 'Whether the queue server (Redis) answered: 1 or 0',
    registers: [registry],
    async collect() {
      this.set((await look()) === null ? 0 : 1);
    },
  });
}

/** All metrics of one scrape share one look. @returns null when it failed */
function shared<T>(look: () => Promise<T>, log: Log): () => Promise<T | null> {
  let looking: Promise<T | null> | undefined;
  return () => {
    looking ??= look()
      .catch((err: unknown) => {
        log.debug({ err }, 'the queue could not be asked for metrics');
        return null;
      })
      .finally(() => {
        looking = undefined;
      });
    return looking;
  };
}
