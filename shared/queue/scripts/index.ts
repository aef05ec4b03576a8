/**
 * Every change of the queue's state, as Lua: each script runs in Redis as one step, so that no two processes see half
 * of one. ARGV[1] of every script is KEY_BASE (`keys.ts` lists the keys). '' stands for null.
 * Every script may be sent twice (ioredis repeats a command whose reply was lost): the second run finds its work
 * done and answers as the first did.
 */
import { BATCH_SCRIPTS } from './batches.js';
import { JOB_SCRIPTS } from './jobs.js';
import { NODE_SCRIPTS } from './nodes.js';
import { PRELUDE } from './prelude.js';

const SOURCES = { ...JOB_SCRIPTS, ...BATCH_SCRIPTS, ...NODE_SCRIPTS };
export type ScriptName = keyof typeof SOURCES;

/** For `redis.defineCommand`: name → Lua. No KEYS: every name is built from ARGV[1]. */
export const SCRIPTS = Object.fromEntries(
  Object.entries(SOURCES).map(([name, body]) => [name, PRELUDE + body]),
) as Record<ScriptName, string>;
