/** What a contestant is, whoever it is: something that brings an image onto targets, all at once, until that is durable. */
import { open } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import { run } from '../../scripts/demo/children.js';
import type { Target, TargetKind, TargetName } from './targets.js';

/** `engine` is part of `ours`: what the job itself says of its time. */
export type Role = 'ours' | 'engine' | 'peer' | 'floor';

export interface Task {
  /** null: targets are to be zeroed. */
  readonly source: string | null;
  readonly targets: readonly Target[];
  readonly target: TargetName;
  readonly kind: TargetKind;
}

export interface Run {
  /** Wall time, milliseconds. */
  readonly ms: number;
  /** Of `ours`: without queue and HTTP. */
  readonly engineMs?: number;
  /** How it was done, for the JSON. */
  readonly details?: unknown;
}

export interface Contestant {
  readonly name: string;
  readonly role: Role;
  readonly how: string;
  run(task: Task, signal: AbortSignal): Promise<Run>;
}

/** A program that is run once for each target, all at once; timed from its start until its target is durable. */
export function program(
  name: string,
  role: Role,
  command: readonly string[],
  /** What it printed, as milliseconds; undefined: its wall time counts. */
  ownMs?: (stdout: string) => number,
): Contestant {
  const fill = (argument: string, source: string | null, target: Target) =>
    argument
      .replace('SOURCE', source ?? '')
      .replace('TARGET', target.path)
      .replace('SIZE', String(target.size));
  return {
    name,
    role,
    how: command.join(' '),
    async run({ source, targets }, signal) {
      // Opened before: a flush costs everybody the same, the start of a second program would not.
      const files = await Promise.all(targets.map(({ path }) => open(path, 'r+')));
      const before = performance.now();
      try {
        const ends = await Promise.allSettled(
          targets.map(async (target, i) => {
            const [file, ...args] = command.map((argument) => fill(argument, source, target));
            const { stdout } = await run(file as string, args, { signal });
            await files[i]?.datasync();
            return stdout;
          }),
        );
        const ms = performance.now() - before;
        // None of them may still write when the next one is timed.
        const said = ends.map((end) => {
          if (end.status === 'rejected') throw end.reason;
          return end.value;
        });
        return { ms: ownMs !== undefined && said.length === 1 ? ownMs(said[0] as string) : ms };
      } finally {
        await Promise.all(files.map((file) => file.close()));
      }
    },
  };
}
