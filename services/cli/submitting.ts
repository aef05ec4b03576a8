/** What `ferry import` and `ferry zero` share: flags of a new job, and what happens with the request. */
import { type Command, Option } from 'commander';
import type { JobRequestInput } from '../../shared/schemas/job.js';
import type { ClientFlags } from './client-flags.js';
import { addClientFlags, clientOf } from './client-flags.js';
import type { Context } from './context.js';
import { parseBandwidth, parseInteger, parseLabel, parseSize } from './parse.js';
import type { TargetFlags } from './targets.js';

export interface SubmitFlags extends ClientFlags, TargetFlags {
  readonly sparse?: true;
  readonly follow?: true;
  readonly dryRun?: true;
  readonly label?: Record<string, string>;
  readonly priority?: number;
  readonly bandwidth?: number;
  readonly pool?: string;
  readonly idempotencyKey?: string;
}

/** @param by  who moves the data: a client sees its job to the end, decides how fast it sends, and has no plan */
export function addSubmitFlags(command: Command, by: 'node' | 'client' = 'node'): Command {
  command.option('--sparse', 'give space back where there are zeroes; default: reserve all of it');
  if (by === 'node') {
    command
      .option('--follow', 'show the job until it ends; the exit code says how')
      .option('--dry-run', 'print what would be done; nothing is written or queued')
      .addOption(
        new Option('--bandwidth <SIZE>', 'at most so much a second, such as 100MiB').argParser(parseBandwidth),
      );
  }
  command
    .addOption(new Option('--size <SIZE>', 'size of a file target, such as 10GiB').argParser(parseSize))
    .addOption(
      new Option('--target-type <TYPE>', 'what the target is, when it is not on this machine').choices([
        'block',
        'file',
      ]),
    )
    .addOption(new Option('--label <KEY=VALUE>', 'a label of the job; may be repeated').argParser(parseLabel))
    .addOption(new Option('--priority <N>', '0 to 1000; higher runs sooner').argParser(parseInteger(0, 1000)))
    .option('--pool <NAME>', 'pool whose nodes run the job')
    .option('--idempotency-key <KEY>', 'the same key gives the same job: safe to repeat after a lost answer');
  return addClientFlags(command);
}

/** The parts of a request that both kinds have. */
export function commonRequest({ label, pool }: SubmitFlags): Pick<JobRequestInput, 'labels' | 'pool'> {
  return { ...(label === undefined ? {} : { labels: label }), ...(pool === undefined ? {} : { pool }) };
}

export function commonOptions({ sparse, priority, bandwidth }: SubmitFlags) {
  return {
    ...(sparse === true ? { allocation: 'sparse' as const } : {}),
    ...(priority === undefined ? {} : { priority }),
    ...(bandwidth === undefined ? {} : { bandwidthBytesPerSecond: bandwidth }),
  };
}

/** Sends the request, or asks for its plan, and says what came of it. @returns the exit code */
export async function submit(context: Context, request: JobRequestInput, flags: SubmitFlags): Promise<number> {
  const client = await clientOf(flags, context);
  const { screen } = context;
  const json = flags.json === true;
  if (flags.dryRun === true) {
    const plan = await client.plan(request);
    if (json) screen.line(JSON.stringify(plan));
    else {
      const { planLines } = await import('./report.js');
      for (const line of planLines(plan)) screen.line(line);
    }
    return 0;
  }
  // Before the job is there: from then on nothing may come between it and the line that names it.
  const following = flags.follow === true ? await import('./following.js') : null;
  const job = await client.submit(request, flags.idempotencyKey);
  if (following !== null) {
    if (!json) screen.line(`job ${job.id}`);
    return await following.followJob(context, client, job.id, { json, answered: true });
  }
  screen.line(json ? JSON.stringify(job) : `job ${job.id} is ${job.state}`);
  if (screen.terminal && !json) screen.note(`Follow it with "ferry job ${job.id} --follow"`);
  return 0;
}
