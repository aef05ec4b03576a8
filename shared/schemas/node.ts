/** A transfer node as the API shows it: what it serves, how busy it is, and when it was last heard of. */
import { z } from 'zod';
import { PoolName, Size, Timestamp } from './common.js';

export const NODE_STATES = ['up', 'draining', 'stopped', 'lost'] as const;

/** What a node says of itself with every heartbeat. */
export const NodeReport = z.object({
  name: z.string(),
  /** Another one after each start: two processes under one name are told apart by it. */
  instance: z.string(),
  version: z.string(),
  host: z.string(),
  pid: Size,
  state: z.enum(['up', 'draining', 'stopped']),
  pools: z.array(PoolName),
  concurrency: Size.describe('jobs that may run at once'),
  threads: Size,
  bandwidthBytesPerSecond: Size.nullable().describe('limit over all jobs of the node'),
  load: z.object({
    jobs: Size.describe('jobs that run now'),
    busyThreads: Size,
    bytesPerSecond: z.number().min(0),
    eventLoopDelayP99Ms: z.number().min(0),
  }),
  startedAt: Timestamp,
});
export type NodeReport = z.infer<typeof NodeReport>;

export const NodeView = NodeReport.extend({
  state: z.enum(NODE_STATES).describe('lost: not heard of for longer than a lease; its jobs are taken over'),
  heardAt: Timestamp,
}).meta({ id: 'Node' });
export type NodeView = z.infer<typeof NodeView>;
