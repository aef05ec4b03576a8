/** `ferry batches`: all batches, newest first. */
import { type Command, Option } from 'commander';
import { JOB_STATES } from '../../../shared/states.js';
import type { BatchFilter } from '../batch-client.js';
import { addClientFlags, type ClientFlags, clientOf } from '../client-flags.js';
import type { Context } from '../context.js';
import { collectPages } from '../pages.js';
import { parseInteger } from '../parse.js';

export function addBatches(program: Command, context: Context): void {
  const command = program
    .command('batches')
    .description('list batches, newest first')
    .addOption(new Option('--state <STATE>', 'only batches in this state').choices(JOB_STATES))
    .option('--pool <NAME>', 'only batches of this pool')
    .addOption(new Option('--limit <N>', 'at most so many').argParser(parseInteger(1, 1_000_000)).default(50));
  addClientFlags(command).action(async (flags: ClientFlags & BatchFilter) => {
    const { batches: client } = await clientOf(flags, context);
    const { state, pool } = flags;
    const batches = await collectPages(flags.limit, async (limit, cursor) => {
      const page = await client.list({ state, pool, limit, cursor });
      return { items: page.batches, nextCursor: page.nextCursor };
    });
    if (flags.json === true) return context.screen.line(JSON.stringify({ batches }));
    if (batches.length === 0) return context.screen.note('no batches');
    const { batchTable } = await import('../batch/report.js');
    context.screen.line(batchTable(batches));
  });
}
