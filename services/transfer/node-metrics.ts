/** How busy this node is, read when Prometheus asks: jobs, threads, buffers, and how long native calls take. */
import { Gauge, type Registry } from 'prom-client';
import type { Workers } from '../../workers/pool.js';
import { callHistogram } from './call-histogram.js';

export interface NodeState {
  readonly nodeName: string;
  readonly pools: readonly string[];
  readonly concurrency: number;
  readonly workers: Workers;
  /** Pools of the jobs that run now. */
  readonly runningPools: () => Iterable<string>;
}

export function registerNodeMetrics(registry: Registry, state: NodeState): void {
  const { nodeName: node, workers, pools } = state;
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  new Gauge({
    name: 'ferry_node_jobs_running',
    help: 'Jobs that run on this node now',
    labelNames: ['node', 'pool'],
    registers: [registry],
    collect() {
      for (const pool of pools) this.set({ node, pool }, 0);
      for (const pool of state.runningPools()) this.inc({ node, pool });
    },
  });
  gauge('ferry_node_jobs_limit', 'Jobs that may run on this node at once', () => state.concurrency);
  gauge('ferry_threads', 'Threads that read and write', () => workers.options.threads);
  gauge('ferry_threads_busy', 'Threads that run a task now', () => Math.max(0, workers.busyThreads));
  gauge('ferry_thread_tasks_waiting', 'Tasks that wait for a thread', () => workers.waitingTasks);
  const { buffers } = workers;
  gauge('ferry_buffers_bytes', 'Memory that transfer buffers may take', () => buffers.limit * buffers.bufferLength);
  gauge(
    'ferry_buffers_in_use_bytes',
    'Memory of transfer buffers that are in use now',
    () => buffers.inUse * buffers.bufferLength,
  );
  registry.registerMetric(callHistogram(workers.callTimes));
}
