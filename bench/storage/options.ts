/** The command line of `npm run bench`. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { TARGET_KINDS, type TargetName } from './targets.js';
import { WORKLOAD_LETTERS } from './workloads.js';

export const USAGE = `npm run bench -- [options]
  --quick         two rounds, everything an eighth of its size, fewer kinds of targets
  --rounds N      default 5
  --only a,c,f    workloads (${WORKLOAD_LETTERS.join(', ')}), and service for the service figures; default: all
  --targets X,Y   kinds of targets: ${Object.keys(TARGET_KINDS).join(', ')}
  --seed N        of layouts, content and stale bytes; default 1
  --out DIR       where results.json, results.md and chart.svg go; default bench-results
Scratch files lie in FERRY_BENCH_DIR, or the temporary directory.`;

/** What `--only` names besides workloads. */
export const SERVICE = 'service';

export interface Options {
  readonly help: boolean;
  readonly quick: boolean;
  readonly rounds: number;
  readonly only: ReadonlySet<string>;
  /** null: those that the workload has. */
  readonly targets: ReadonlySet<TargetName> | null;
  readonly seed: number;
  readonly out: string;
}

/** @throws Error that names the option that is wrong */
export function readOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      only: { type: 'string' },
      targets: { type: 'string' },
      seed: { type: 'string', default: '1' },
      out: { type: 'string', default: 'bench-results' },
    },
  });
  const targets = values.targets === undefined ? null : oneOf('--targets', values.targets, Object.keys(TARGET_KINDS));
  const things = [...WORKLOAD_LETTERS, SERVICE];
  return {
    help: values.help,
    quick: values.quick,
    rounds: whole('--rounds', values.rounds ?? (values.quick ? '2' : '5'), 1),
    only: oneOf('--only', values.only ?? things.join(','), things),
    targets: targets as ReadonlySet<TargetName> | null,
    seed: whole('--seed', values.seed, 0),
    out: resolve(values.out),
  };
}

function whole(name: string, value: string, least: number): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < least)
    throw new Error(`${name} must be ${least} or more; got ${value}`);
  return number;
}

function oneOf(name: string, value: string, allowed: readonly string[]): ReadonlySet<string> {
  const chosen = value.split(',').filter((entry) => entry !== '');
  const unknown = chosen.find((entry) => !allowed.includes(entry));
  if (unknown !== undefined) throw new Error(`${name}: there is no ${unknown}; there are ${allowed.join(', ')}`);
  return new Set(chosen);
}
