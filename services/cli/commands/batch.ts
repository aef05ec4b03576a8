/** `ferry batch …`: what can be done with one batch. */
import type { Command } from 'commander';
import type { BatchSummary } from '../../../shared/schemas/batch.js';
import { addClientFlags, type ClientFlags, clientOf } from '../client-flags.js';
import type { Context } from '../context.js';
import { count } from '../words.js';
import { addSubmit } from './batch-submit.js';

interface FollowFlags extends ClientFlags {
  readonly follow?: true;
}

const ID = 'as "ferry batch submit" and "ferry batches" print it';

export function addBatch(program: Command, context: Context): void {
  const batch = program.command('batch').description('import the disks of many VMs together');
  addSubmit(batch, context);
  addStatus(batch, context);
  addTold(batch, context, 'pause', 'stop a batch for now; its disks keep what they did', ({ counts }) =>
    counts.active === 0 ? 'is paused' : `will pause: ${count(counts.active, 'disk')} will stop at the next step`,
  );
  addTold(batch, context, 'resume', 'let a paused batch go on', ({ state }) => `is ${state}`);
  addCancel(batch, context);
  addRetry(batch, context);
}

function addStatus(batch: Command, context: Context): void {
  const command = batch
    .command('status')
    .description('show one batch')
    .argument('<ID>', ID)
    .option('--follow', 'show it until it ends; the exit code says how');
  addClientFlags(command).action(async (id: string, flags: FollowFlags) => {
    const client = await clientOf(flags, context);
    const json = flags.json === true;
    if (flags.follow === true) {
      const { followBatch } = await import('../batch/following.js');
      return context.exitWith(await followBatch(context, client, id, { json, answered: false }));
    }
    const view = await client.batches.batch(id);
    if (json) return context.screen.line(JSON.stringify(view));
    const { batchLines } = await import('../batch/report.js');
    for (const line of batchLines(view)) context.screen.line(line);
  });
}

function addTold(
  batch: Command,
  context: Context,
  what: 'pause' | 'resume',
  description: string,
  outcome: (summary: BatchSummary) => string,
): void {
  const command = batch.command(what).description(description).argument('<ID>', ID);
  addClientFlags(command).action(async (id: string, flags: ClientFlags) => {
    const { batches } = await clientOf(flags, context);
    tell(context, flags, await batches.tell(id, what), outcome);
  });
}

function addCancel(batch: Command, context: Context): void {
  const command = batch.command('cancel').description('cancel what has not ended of a batch').argument('<ID>', ID);
  addClientFlags(command).action(async (id: string, flags: ClientFlags) => {
    const { batches } = await clientOf(flags, context);
    tell(context, flags, await batches.cancel(id), ({ state, counts }) =>
      state === 'canceled' ? 'is canceled' : `will stop: ${count(counts.active, 'disk')} will end at the next step`,
    );
  });
}

function addRetry(batch: Command, context: Context): void {
  const command = batch
    .command('retry')
    .description('queue the disks that failed once more')
    .argument('<ID>', ID)
    .option('--follow', 'show it until it ends; the exit code says how');
  addClientFlags(command).action(async (id: string, flags: FollowFlags) => {
    const client = await clientOf(flags, context);
    const json = flags.json === true;
    const following = flags.follow === true ? await import('../batch/following.js') : null;
    const summary = await client.batches.tell(id, 'retry');
    if (following !== null) {
      return context.exitWith(await following.followBatch(context, client, id, { json, answered: true }));
    }
    tell(context, flags, summary, ({ state, counts }) => `is ${state}: ${count(counts.queued, 'disk')} wait`);
  });
}

function tell(
  { screen }: Context,
  { json }: ClientFlags,
  summary: BatchSummary,
  outcome: (summary: BatchSummary) => string,
): void {
  screen.line(json === true ? JSON.stringify(summary) : `batch ${summary.id} ${outcome(summary)}`);
}
