/**
 * The command line as a whole: every command and its help. Runs nothing by itself.
 * All of it is loaded at each start: what a command needs to run, its action imports.
 */
import { Command } from 'commander';
import { addBatch } from './commands/batch.js';
import { addBatches } from './commands/batches.js';
import { addConfig } from './commands/config.js';
import { addDownload } from './commands/download.js';
import { addImport } from './commands/import.js';
import { addCancel, addJob, addRetry } from './commands/job.js';
import { addJobs } from './commands/jobs.js';
import { addPause, addResume, addSet } from './commands/live.js';
import { addNodes } from './commands/nodes.js';
import { addProbe } from './commands/probe.js';
import { addServers } from './commands/serve.js';
import { addUpload } from './commands/upload.js';
import { addZero } from './commands/zero.js';
import type { Context } from './context.js';
import { version } from './version.js';

const EXIT_CODES = `
Exit codes:
  0  done                          3  server or queue cannot be reached
  1  the job or batch failed       4  it was canceled
  2  wrong usage or bad request  130  interrupted; what was followed goes on`;

export function createProgram(context: Context): Command {
  const program = new Command('ferry')
    .description('moves virtual machine disk images onto storage')
    .version(version())
    .showHelpAfterError('("ferry COMMAND --help" shows what there is)')
    .addHelpText('after', EXIT_CODES)
    .exitOverride();
  program.commandsGroup('Jobs:');
  addImport(program, context);
  addUpload(program, context);
  addDownload(program, context);
  addZero(program, context);
  addJobs(program, context);
  addJob(program, context);
  addCancel(program, context);
  addRetry(program, context);
  addPause(program, context);
  addResume(program, context);
  addSet(program, context);
  program.commandsGroup('Batches:');
  addBatch(program, context);
  addBatches(program, context);
  program.commandsGroup('Servers:');
  addServers(program, context);
  addNodes(program, context);
  addConfig(program, context);
  program.commandsGroup('Storage:');
  addProbe(program, context);
  return program;
}
