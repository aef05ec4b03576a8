/** `ferry batch submit PLAN`: imports the disks of many VMs as a plan file says. */
import { type Command, Option } from 'commander';
import { ON_FAILURE } from '../../../shared/states.js';
import { addClientFlags, type ClientFlags, clientOf } from '../client-flags.js';
import type { Context } from '../context.js';
import { parseInteger } from '../parse.js';
import type { PlanOverrides } from '../plan/read.js';
import { count } from '../words.js';

interface SubmitFlags extends ClientFlags, PlanOverrides {
  readonly follow?: true;
  readonly idempotencyKey?: string;
}

export function addSubmit(batch: Command, context: Context): void {
  const command = batch
    .command('submit')
    .description('import the disks of a plan file')
    .argument('<PLAN>', 'YAML or JSON; -: stdin')
    .option('--follow', 'show the batch until it ends; the exit code says how')
    .option('--name <NAME>', 'name of the batch; default: what the plan says, or the name of its file')
    .option('--pool <NAME>', 'pool whose nodes run it')
    .addOption(
      new Option('--max-concurrent-disks <N>', 'disks that run at once, over all nodes').argParser(
        parseInteger(1, 1000),
      ),
    )
    .addOption(
      new Option('--on-failure <WHAT>', 'when a disk fails: go on with the others, or stop').choices(ON_FAILURE),
    )
    .option('--idempotency-key <KEY>', 'the same key gives the same batch: safe to repeat after a lost answer');
  addClientFlags(command).action(async (file: string, flags: SubmitFlags) => {
    context.exitWith(await submit(context, file, flags));
  });
}

/** @returns the exit code */
async function submit(context: Context, file: string, flags: SubmitFlags): Promise<number> {
  const { screen } = context;
  const client = await clientOf(flags, context);
  // Loaded here only: no other command reads YAML.
  const { readPlan } = await import('../plan/read.js');
  const plan = await readPlan(file, overrides(flags));
  // Before the batch is there: from then on nothing may come between it and the line that names it.
  const following = flags.follow === true ? await import('../batch/following.js') : null;
  const batch = await client.batches.submit(plan.request, flags.idempotencyKey).catch((thrown: unknown) => {
    // The server may know better: a path outside its roots, a pool that nobody serves.
    throw plan.locate(thrown);
  });
  const json = flags.json === true;
  if (following !== null) {
    if (!json) screen.line(`batch ${batch.id}: ${disksOf(batch.disks, plan.request.vms.length)}`);
    return await following.followBatch(context, client, batch.id, { json, answered: true });
  }
  const words = `batch ${batch.id} is ${batch.state}: ${disksOf(batch.disks, plan.request.vms.length)}`;
  screen.line(json ? JSON.stringify(batch) : words);
  if (screen.terminal && !json) screen.note(`Follow it with "ferry batch status ${batch.id} --follow"`);
  return 0;
}

function disksOf(disks: number, vms: number): string {
  return `${count(disks, 'disk')} of ${count(vms, 'VM')}`;
}

function overrides({ name, pool, maxConcurrentDisks, onFailure }: SubmitFlags): PlanOverrides {
  return {
    ...(name === undefined ? {} : { name }),
    ...(pool === undefined ? {} : { pool }),
    ...(maxConcurrentDisks === undefined ? {} : { maxConcurrentDisks }),
    ...(onFailure === undefined ? {} : { onFailure }),
  };
}
