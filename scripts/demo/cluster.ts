/** Several machines in small: a redis-server, an API, and two nodes that share them. All are processes of their own. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Server, startFerry, startServer } from './ferry.js';
import type { Stage } from './stage.js';

export interface Cluster {
  readonly url: string;
  readonly nodes: ReadonlyMap<string, Server>;
}

export interface ClusterOptions {
  /** For its data; made when missing. Short: a socket lies in it. */
  readonly directory: string;
  readonly roots: readonly string[];
  readonly nodes: readonly string[];
  readonly leaseMs: number;
  readonly concurrency: number;
}

export async function startCluster(options: ClusterOptions, { cleanup, signal }: Stage): Promise<Cluster> {
  const { directory, roots, leaseMs, concurrency } = options;
  await mkdir(directory, { recursive: true });
  const socket = join(directory, 'redis.sock');
  const redis = ['--port', '0', '--unixsocket', socket, '--dir', directory, '--save', '', '--appendonly', 'yes'];
  const program = {
    name: 'redis-server',
    command: ['redis-server', ...redis],
    understand: (line: string) => (/ready to accept connections/i.test(line) ? {} : undefined),
  };
  await startServer(program, cleanup, signal);

  const shared = ['--redis-url', `unix://${socket}`, '--storage-roots', roots.join(':'), '--lease-ms', String(leaseMs)];
  const api = await startFerry(['api', '--port', '0', ...shared], cleanup, signal);
  if (api.ready.api === undefined) throw new Error('ferry api did not tell where it is');
  // Short, so that there is a checkpoint to resume from before anybody is bored.
  const env = { FERRY_FLUSH_INTERVAL_MS: '1000' };
  const nodes = new Map<string, Server>();
  for (const name of options.nodes) {
    const own = ['--node-name', name, '--concurrency', String(concurrency), '--threads', '8'];
    nodes.set(name, await startFerry(['node', ...own, ...shared], cleanup, signal, env));
  }
  return { url: api.ready.api.url, nodes };
}
