/** `ferry job`, `ferry cancel`, `ferry retry`: what can be done with one job. */
import type { Command } from 'commander';
import { addClientFlags, type ClientFlags, clientOf } from '../client-flags.js';
import type { Context } from '../context.js';

interface FollowFlags extends ClientFlags {
  readonly follow?: true;
}

const ID = 'as "ferry import" and "ferry jobs" print it';

export function addJob(program: Command, context: Context): void {
  const command = program
    .command('job')
    .description('show one job')
    .argument('<ID>', ID)
    .option('--follow', 'show it until it ends; the exit code says how');
  addClientFlags(command).action(async (id: string, flags: FollowFlags) => {
    const client = await clientOf(flags, context);
    const json = flags.json === true;
    if (flags.follow === true) {
      const { followJob } = await import('../following.js');
      return context.exitWith(await followJob(context, client, id, { json, answered: false }));
    }
    const job = await client.job(id);
    if (json) return context.screen.line(JSON.stringify(job));
    const { jobLines } = await import('../report.js');
    for (const line of jobLines(job)) context.screen.line(line);
  });
}

export function addCancel(program: Command, context: Context): void {
  const command = program.command('cancel').description('cancel a job that has not ended').argument('<ID>', ID);
  addClientFlags(command).action(async (id: string, flags: ClientFlags) => {
    const client = await clientOf(flags, context);
    const job = await client.cancel(id);
    if (flags.json === true) return context.screen.line(JSON.stringify(job));
    const outcome = job.state === 'canceled' ? 'is canceled' : 'will stop at its next step';
    context.screen.line(`job ${job.id} ${outcome}`);
  });
}

export function addRetry(program: Command, context: Context): void {
  const command = program
    .command('retry')
    .description('queue a failed or canceled job once more')
    .argument('<ID>', ID)
    .option('--follow', 'show it until it ends; the exit code says how');
  addClientFlags(command).action(async (id: string, flags: FollowFlags) => {
    const client = await clientOf(flags, context);
    const json = flags.json === true;
    const following = flags.follow === true ? await import('../following.js') : null;
    const job = await client.tell(id, 'retry');
    if (following !== null) {
      return context.exitWith(await following.followJob(context, client, id, { json, answered: true }));
    }
    context.screen.line(json ? JSON.stringify(job) : `job ${job.id} is ${job.state}`);
  });
}
