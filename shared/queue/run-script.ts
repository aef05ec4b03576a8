/** The scripts of `scripts.ts` as typed functions of a connection. */
import type { Redis } from 'ioredis';
import { queueCall } from './connection.js';
import { KEY_BASE } from './keys.js';
import { SCRIPTS, type ScriptName } from './scripts/index.js';

interface Replies {
  create: string[];
  replay: string[];
  start: string[];
  report: number;
  hold: string[];
  checkpoint: number;
  offer: number;
  finalize: string[];
  unfinalize: number;
  requeue: number;
  suspend: number;
  finish: number;
  cancel: string[];
  pause: string[];
  resume: string[];
  patch: string[];
  retry: string[];
  abandon: string;
  trim: number;
  createBatch: (string | number)[];
  batch: [] | [string[], string[]];
  cancelBatch: string[];
  pauseBatch: string[];
  resumeBatch: string[];
  retryBatch: string[];
  trimBatch: number;
  beat: string;
  nodes: string[];
}

export type RunScript = <Name extends ScriptName>(name: Name, ...args: (string | number)[]) => Promise<Replies[Name]>;

/** Teaches the connection the scripts; ioredis sends one whole only when the server does not have it. */
export function defineScripts(redis: Redis): RunScript {
  for (const [name, lua] of Object.entries(SCRIPTS)) redis.defineCommand(`ferry_${name}`, { lua, numberOfKeys: 0 });
  const commands = redis as unknown as Record<string, (...args: (string | number)[]) => Promise<never>>;
  return (name, ...args) =>
    queueCall(() => (commands[`ferry_${name}`] as (typeof commands)[string])(KEY_BASE, ...args));
}
