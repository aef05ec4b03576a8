/** `ferry jobs`: what the queue holds, newest first. */
import { type Command, Option } from 'commander';
import { JOB_STATES, JobKind, type JobView } from '../../../shared/schemas/job.js';
import type { ApiClient, JobFilter } from '../api-client.js';
import { addClientFlags, type ClientFlags, clientOf } from '../client-flags.js';
import type { Context } from '../context.js';
import { parseInteger } from '../parse.js';
import { jobTable } from '../report.js';

type JobsFlags = ClientFlags & JobFilter;

/** The API gives at most this many at once. */
const PAGE = 1000;

export function addJobs(program: Command, context: Context): void {
  const command = program
    .command('jobs')
    .description('list jobs, newest first')
    .addOption(new Option('--state <STATE>', 'only jobs in this state').choices(JOB_STATES))
    .addOption(new Option('--kind <KIND>', 'only jobs of this kind').choices(JobKind.options))
    .option('--pool <NAME>', 'only jobs of this pool')
    .addOption(new Option('--limit <N>', 'at most so many').argParser(parseInteger(1, 1_000_000)).default(50));
  addClientFlags(command).action(async (flags: JobsFlags) => {
    const jobs = await collect(clientOf(flags, context), flags);
    if (flags.json === true) return context.screen.line(JSON.stringify({ jobs }));
    if (jobs.length > 0) return context.screen.line(jobTable(jobs));
    context.screen.note('no jobs');
  });
}

/** Page by page: a page may be shorter than asked for although there are more. */
async function collect(client: ApiClient, { state, kind, pool, limit }: JobFilter): Promise<JobView[]> {
  const jobs: JobView[] = [];
  let cursor: string | undefined;
  do {
    const page = await client.list({ state, kind, pool, limit: Math.min(PAGE, limit - jobs.length), cursor });
    jobs.push(...page.jobs);
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined && jobs.length < limit);
  return jobs.slice(0, limit);
}
