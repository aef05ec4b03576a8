/** The command line as a whole: every command and its help. Runs nothing by itself. */
import { Command } from 'commander';
import type { Context } from './context.js';
import { version } from './version.js';

const EXIT_CODES = `
Exit codes:
  0  done                          3  server or queue cannot be reached
  1  the job or batch failed       4  it was canceled
  2  wrong usage or bad request  130  interrupted; what was followed goes on`;

interface Entry {
  /** The commands that it adds. */
  readonly names: readonly string[];
  load(): Promise<(program: Command, context: Context) => void>;
}

/** By group of the help. Loaded when needed: all commands together take longer to load than one of them to run. */
const COMMANDS: Readonly<Record<string, readonly Entry[]>> = {
  'Jobs:': [
    { names: ['import'], load: async () => (await import('./commands/import.js')).addImport },
    { names: ['upload'], load: async () => (await import('./commands/upload.js')).addUpload },
    { names: ['download'], load: async () => (await import('./commands/download.js')).addDownload },
    { names: ['zero'], load: async () => (await import('./commands/zero.js')).addZero },
    { names: ['jobs'], load: async () => (await import('./commands/jobs.js')).addJobs },
    { names: ['job'], load: async () => (await import('./commands/job.js')).addJob },
    { names: ['cancel'], load: async () => (await import('./commands/job.js')).addCancel },
    { names: ['retry'], load: async () => (await import('./commands/job.js')).addRetry },
    { names: ['pause'], load: async () => (await import('./commands/live.js')).addPause },
    { names: ['resume'], load: async () => (await import('./commands/live.js')).addResume },
    { names: ['set'], load: async () => (await import('./commands/live.js')).addSet },
  ],
  'Batches:': [
    { names: ['batch'], load: async () => (await import('./commands/batch.js')).addBatch },
    { names: ['batches'], load: async () => (await import('./commands/batches.js')).addBatches },
  ],
  'Servers:': [
    { names: ['serve', 'api', 'node'], load: async () => (await import('./commands/serve.js')).addServers },
    { names: ['nodes'], load: async () => (await import('./commands/nodes.js')).addNodes },
    { names: ['config'], load: async () => (await import('./commands/config.js')).addConfig },
  ],
  'Storage:': [{ names: ['probe'], load: async () => (await import('./commands/probe.js')).addProbe }],
};

/** @param first  argument: where it names a command, that one is all there is; otherwise (help, a slip) all of them */
export async function createProgram(context: Context, first: string | undefined): Promise<Command> {
  const program = new Command('ferry')
    .description('moves virtual machine disk images onto storage')
    .version(version())
    .showHelpAfterError('("ferry COMMAND --help" shows what there is)')
    .addHelpText('after', EXIT_CODES)
    .exitOverride();
  const entries = Object.entries(COMMANDS);
  const named = entries.flatMap(([, group]) => group).filter(({ names }) => names.includes(first ?? ''));
  for (const [title, group] of entries) {
    program.commandsGroup(title);
    for (const entry of group) {
      if (named.length === 0 || named.includes(entry)) (await entry.load())(program, context);
    }
  }
  return program;
}
