/** `ferry pause`, `ferry resume`, `ferry set`: what can be changed of a job that has not ended. */

import { type Command, Option } from 'commander';
import type { JobPatch } from '../../../shared/schemas/job.js';
import { addClientFlags, type ClientFlags, clientOf } from '../client-flags.js';
import type { Context } from '../context.js';
import { parseBandwidthOrNone, parseInteger } from '../parse.js';
import { bandwidthOf, formatRate } from '../words.js';

const ID = 'as "ferry import" and "ferry jobs" print it';

export function addPause(program: Command, context: Context): void {
  const command = program.command('pause').description('stop a job for now; it keeps what it did').argument('<ID>', ID);
  addClientFlags(command).action(async (id: string, flags: ClientFlags) => {
    const client = await clientOf(flags, context);
    const job = await client.tell(id, 'pause');
    if (flags.json === true) return context.screen.line(JSON.stringify(job));
    const outcome = job.state === 'paused' ? 'is paused' : 'will pause at its next step';
    context.screen.line(`job ${job.id} ${outcome}`);
  });
}

export function addResume(program: Command, context: Context): void {
  const command = program
    .command('resume')
    .description('let a paused job go on where it stopped')
    .argument('<ID>', ID)
    .option('--follow', 'show it until it ends; the exit code says how');
  addClientFlags(command).action(async (id: string, flags: ClientFlags & { follow?: true }) => {
    const client = await clientOf(flags, context);
    const json = flags.json === true;
    const following = flags.follow === true ? await import('../following.js') : null;
    const job = await client.tell(id, 'resume');
    if (following !== null) {
      return context.exitWith(await following.followJob(context, client, id, { json, answered: true }));
    }
    context.screen.line(json ? JSON.stringify(job) : `job ${job.id} is ${job.state}`);
  });
}

interface SetFlags extends ClientFlags {
  readonly bandwidth?: number | 'none';
  readonly priority?: number;
}

export function addSet(program: Command, context: Context): void {
  const command = program
    .command('set')
    .description('change a job that has not ended')
    .argument('<ID>', ID)
    .addOption(
      new Option('--bandwidth <SIZE>', 'at most so much a second, such as 100MiB; none: no limit').argParser(
        parseBandwidthOrNone,
      ),
    )
    .addOption(
      new Option('--priority <N>', '0 to 1000; counts the next time that it waits').argParser(parseInteger(0, 1000)),
    );
  addClientFlags(command).action(async (id: string, flags: SetFlags) => {
    const patch = patchOf(flags);
    if (Object.keys(patch).length === 0) command.error('error: nothing to change: give --bandwidth or --priority');
    const client = await clientOf(flags, context);
    const job = await client.change(id, patch);
    if (flags.json === true) return context.screen.line(JSON.stringify(job));
    const { priority } = job.options;
    const limit = bandwidthOf(job);
    const bandwidth = limit === null ? 'no bandwidth limit' : `at most ${formatRate(limit)}`;
    context.screen.line(`job ${job.id}: ${bandwidth}, priority ${priority}`);
  });
}

function patchOf({ bandwidth, priority }: SetFlags): JobPatch {
  return {
    ...(bandwidth === undefined ? {} : { bandwidthBytesPerSecond: bandwidth === 'none' ? null : bandwidth }),
    ...(priority === undefined ? {} : { priority }),
  };
}
