#!/usr/bin/env node
/** The `ferry` command. The only file that ends the process. */
import { CommanderError } from 'commander';
import { asFerryError } from '../../shared/errors.js';
import type { Context } from './context.js';
import { EXIT, exitCodeOfError } from './exit-codes.js';
import { explain } from './failure.js';
import { createProgram } from './program.js';
import { processScreen } from './screen.js';

let exitCode: number = EXIT.DONE;

// `ferry jobs | head`: the reader has what it wanted, which is no reason for a stack trace.
process.stdout.on('error', (cause: NodeJS.ErrnoException) => {
  if (cause.code !== 'EPIPE') throw cause;
  process.exit(EXIT.PIPE_CLOSED);
});
process.stderr.on('error', () => {});

const context: Context = {
  env: process.env,
  screen: processScreen,
  exitWith: (code) => {
    exitCode = code;
  },
  abandon: (code) => process.exit(code),
};

try {
  await createProgram(context).parseAsync();
} catch (thrown) {
  exitCode = report(thrown);
}
// Not left to the event loop: an idle connection to the API would keep us for seconds.
process.exit(exitCode);

function report(thrown: unknown): number {
  // Commander has said it already. Help and version are "errors" with exit code 0.
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.DONE : EXIT.USAGE;
  const error = asFerryError(thrown);
  for (const line of explain(error, process.env.FERRY_LOG_LEVEL === 'debug')) context.screen.note(line);
  return exitCodeOfError(error);
}
