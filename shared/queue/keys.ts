/**
 * The Redis keys of the job store; `scripts.ts` builds the same names in Lua from KEY_BASE.
 * Not for Redis Cluster: a transition touches several keys at once.
 *
 *   ferry:job:<id>            hash, the record
 *   ferry:change:<id>         channel, one message for each new version of a record
 *   ferry:jobs:all            sorted set of ids, all scores 0: the order of UUIDv7 is the order of time
 *   ferry:jobs:<field>:<v>    the same for state, kind, pool, batch
 *   ferry:jobs:ended          ids by the time they ended in ms, for retention
 *   ferry:jobs:counts         hash `<pool>|<state>` → number of jobs
 *   ferry:outbox              ids by time: recorded, perhaps not yet known to BullMQ
 *   ferry:idem:<sha256>       hash of an Idempotency-Key: id, kind, state (when trimmed), body (its sha256)
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
  outbox: `${KEY_BASE}outbox`,
};

export type IndexField = 'state' | 'kind' | 'pool' | 'batch';
