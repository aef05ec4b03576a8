/** `ferry jobs`: what the queue holds, newest first. */
import { type Command, Option } from 'commander';
import { JOB_KINDS, JOB_STATES } from '../../../shared/states.js';
import type { JobFilter } from '../api-client.js';
import { addClientFlags, type ClientFlags, clientOf } from '../client-flags.js';
import type { Context } from '../context.js';
import { collectPages } from '../pages.js';
import { parseInteger } from '../parse.js';

type JobsFlags = ClientFlags & JobFilter;

export function addJobs(program: Command, context: Context): void {
  const command = program
    .command('jobs')
    .description('list jobs, newest first')
    .addOption(new Option('--state <STATE>', 'only jobs in this state').choices(JOB_STATES))
    .addOption(new Option('--kind <KIND>', 'only jobs of this kind').choices(JOB_KINDS))
    .option('--batch <ID>', 'only disks of this batch')
    .option('--pool <NAME>', 'only jobs of this pool')
    .addOption(new Option('--limit <N>', 'at most so many').argParser(parseInteger(1, 1_000_000)).default(50));
  addClientFlags(command).action(async (flags: JobsFlags) => {
    const client = await clientOf(flags, context);
    const { state, kind, batch, pool } = flags;
    const jobs = await collectPages(flags.limit, async (limit, cursor) => {
      const page = await client.list({ state, kind, batch, pool, limit, cursor });
      return { items: page.jobs, nextCursor: page.nextCursor };
    });
    if (flags.json === true) return context.screen.line(JSON.stringify({ jobs }));
    if (jobs.length === 0) return context.screen.note('no jobs');
    const { jobTable } = await import('../report.js');
    context.screen.line(jobTable(jobs));
  });
}
