/**
 * Command-line flags of the server commands. Each stands for one variable and goes before it; whatever
 * is checked is checked in `shared/config.ts`, so that flag and variable take the same values.
 */
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import type { Config, Env } from '../../shared/config.js';
import { FerryError } from '../../shared/errors.js';
import { parseBandwidth, parseSize } from './parse.js';

interface ServerFlag {
  readonly flag: string;
  readonly value: string;
  readonly variable: string;
  readonly description: string;
  readonly parse?: (text: string) => string;
}

/** Tokens have no flag: everybody on the machine can read a command line. */
export const SERVER_FLAGS: readonly ServerFlag[] = [
  { flag: 'host', value: 'ADDRESS', variable: 'FERRY_API_HOST', description: 'address the API listens on' },
  { flag: 'port', value: 'PORT', variable: 'FERRY_API_PORT', description: 'port of the API; 0 picks a free one' },
  {
    flag: 'token-file',
    value: 'FILE',
    variable: 'FERRY_API_TOKEN_FILE',
    description: 'file that holds the bearer token of the API',
    parse: (text) => resolve(text),
  },
  {
    flag: 'redis-url',
    value: 'URL',
    variable: 'FERRY_REDIS_URL',
    description: 'Redis to use instead of the embedded queue server',
  },
  {
    flag: 'data-dir',
    value: 'DIR',
    variable: 'FERRY_DATA_DIR',
    description: 'where the embedded queue server keeps its data',
    parse: (text) => resolve(text),
  },
  {
    flag: 'storage-roots',
    value: 'PATHS',
    variable: 'FERRY_STORAGE_ROOTS',
    description: 'directories and devices that jobs may touch, separated by colons',
    parse: (text) =>
      text
        .split(':')
        .map((root) => (root === '' ? '' : resolve(root)))
        .join(':'),
  },
  {
    flag: 'pools',
    value: 'NAMES',
    variable: 'FERRY_POOLS',
    description: 'pools this node serves, separated by commas',
  },
  { flag: 'node-name', value: 'NAME', variable: 'FERRY_NODE_NAME', description: 'name of this node in jobs and logs' },
  { flag: 'threads', value: 'N', variable: 'FERRY_THREADS', description: 'threads that read and write' },
  { flag: 'concurrency', value: 'N', variable: 'FERRY_CONCURRENCY', description: 'jobs that run at once' },
  {
    flag: 'buffer-bytes',
    value: 'SIZE',
    variable: 'FERRY_BUFFER_BYTES',
    description: 'memory for transfer buffers, such as 128MiB',
    parse: (text) => String(parseSize(text)),
  },
  {
    flag: 'bandwidth',
    value: 'SIZE',
    variable: 'FERRY_BANDWIDTH',
    description: 'most that all jobs of this node move a second, such as 500MiB',
    parse: (text) => String(parseBandwidth(text)),
  },
  {
    flag: 'pool-concurrency',
    value: 'LIST',
    variable: 'FERRY_POOL_CONCURRENCY',
    description: 'jobs of a pool that run at once over all nodes, such as default=8,fast=4',
  },
  {
    flag: 'lease-ms',
    value: 'MS',
    variable: 'FERRY_LEASE_MS',
    description: 'how long a node that does not answer keeps its jobs',
  },
  {
    flag: 'metrics-host',
    value: 'ADDRESS',
    variable: 'FERRY_METRICS_HOST',
    description: 'address on which a node shows its metrics',
  },
  {
    flag: 'metrics-port',
    value: 'PORT',
    variable: 'FERRY_METRICS_PORT',
    description: 'port of the metrics of a node; 0 picks a free one',
  },
  { flag: 'log-level', value: 'LEVEL', variable: 'FERRY_LOG_LEVEL', description: 'what is logged on stderr' },
];

export function addServerFlags(command: Command): Command {
  for (const { flag, value, variable, description, parse } of SERVER_FLAGS) {
    const option = new Option(`--${flag} <${value}>`, `${description} (${variable})`);
    command.addOption(parse === undefined ? option : option.argParser(parse));
  }
  return command;
}

/**
 * The configuration with the flags of `command` laid over the environment.
 * @throws FerryError CONFIG_INVALID  what is wrong is named as the person gave it: flag or variable
 */
export async function configOf(command: Command, env: Env): Promise<Config> {
  const { readConfig } = await import('../../shared/config.js');
  const given = givenFlags(command);
  const overlay = Object.fromEntries(given.map(({ variable, text }) => [variable, text]));
  try {
    return readConfig({ ...withoutRival(env, overlay), ...overlay });
  } catch (thrown) {
    if (!(thrown instanceof FerryError)) throw thrown;
    const message = given.reduce(
      (text, { flag, variable }) => text.replaceAll(`${variable}: `, `--${flag} (${variable}): `),
      thrown.message,
    );
    throw new FerryError(thrown.code, message, thrown.details, { cause: thrown });
  }
}

/** Which variables were set by flags of `command`. */
export function givenFlags(command: Command): { flag: string; variable: string; text: string }[] {
  const values = command.opts() as Record<string, string | undefined>;
  return SERVER_FLAGS.flatMap(({ flag, variable }) => {
    const text = values[flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())];
    return text === undefined ? [] : [{ flag, variable, text }];
  });
}

/** A token file named by flag must win over a token in the environment. */
function withoutRival(env: Env, overlay: Env): Env {
  return overlay.FERRY_API_TOKEN_FILE === undefined ? env : { ...env, FERRY_API_TOKEN: undefined };
}
