/**
 * The Redis keys of the job store; `scripts.ts` builds the same names in Lua from KEY_BASE.
 * Not for Redis Cluster: a transition touches several keys at once.
 *
 *   ferry:job:<id>            hash, the record
 *   ferry:change:<id>         channel, one message for each new version of a job or a batch
 *   ferry:jobs:all            sorted set of ids, all scores 0: the order of UUIDv7 is the order of time
 *   ferry:jobs:<field>:<v>    the same for state, kind, pool, batch
 *   ferry:jobs:ended          ids by the time they ended in ms, for retention; disks of a batch go with their batch
 *   ferry:jobs:counts         hash `<pool>|<state>` → number of jobs
 *   ferry:jobs:waiting        hash, pool → number of jobs that wait for a place in their batch
 *   ferry:outbox              ids by time: ready to run, perhaps not yet known to BullMQ
 *   ferry:idem:<sha256>       hash of an Idempotency-Key: id, kind, state (when trimmed), body (its sha256)
 *   ferry:batch:<id>          hash, the batch; `n:<state>` counts its disks, `admitted` those that BullMQ may have
 *   ferry:batch:<id>:jobs     list of its jobs, in the order of the request
 *   ferry:batch:<id>:waiting  sorted set of its jobs that wait for a place, the next one first
 *   ferry:batches:all         sorted set of ids, all scores 0
 *   ferry:batches:ended       ids by the time they ended in ms; `ferry:batches:endedDisks` is the number of their disks
 *   ferry:targets             hash, storage → the job that wrote it last
 *   ferry:nodes               hash, node → time and text of its last report; `ferry:node:instances` tells restarts apart
 */
import { QUEUE_PREFIX } from './connection.js';

export const KEY_BASE = `${QUEUE_PREFIX}:`;

export const keys = {
  job: (id: string) => `${KEY_BASE}job:${id}`,
  change: (id: string) => `${KEY_BASE}change:${id}`,
  all: `${KEY_BASE}jobs:all`,
  index: (field: IndexField, value: string) => `${KEY_BASE}jobs:${field}:${value}`,
  ended: `${KEY_BASE}jobs:ended`,
  counts: `${KEY_BASE}jobs:counts`,
  waiting: `${KEY_BASE}jobs:waiting`,
  outbox: `${KEY_BASE}outbox`,
  batch: (id: string) => `${KEY_BASE}batch:${id}`,
  batches: `${KEY_BASE}batches:all`,
};

export type IndexField = 'state' | 'kind' | 'pool' | 'batch';
