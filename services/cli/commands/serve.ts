/** `ferry serve`, `ferry api`, `ferry node`: the servers. All three are the same modules, composed differently. */
import type { Command } from 'commander';
import type { Context } from '../context.js';
import { EXIT } from '../exit-codes.js';
import { runUntilSignal } from '../lifecycle.js';
import { addServerFlags, configOf } from '../server-flags.js';
import type { Composition } from '../serving.js';

export function addServers(program: Command, context: Context): void {
  add(program, context, 'serve', 'run everything on this machine: API, transfer node, embedded queue', {
    api: true,
    node: true,
    embeddedQueue: true,
  });
  add(program, context, 'api', 'run the API only; jobs go to the nodes that share its Redis', {
    api: true,
    node: false,
    embeddedQueue: false,
  });
  add(program, context, 'node', 'run a transfer node only; it takes its jobs from Redis', {
    api: false,
    node: true,
    embeddedQueue: false,
  });
}

function add(program: Command, context: Context, name: string, description: string, composition: Composition): void {
  addServerFlags(program.command(name).description(description)).action(async (_options, command: Command) => {
    const config = await configOf(command, context.env);
    // All of this is loaded here only: no other command needs a log, Express or BullMQ.
    const { createLog } = await import('../../../shared/log.js');
    const log = createLog(config.logLevel);
    const code = await runUntilSignal(
      log,
      async (parts, signal) => {
        const { startParts } = await import('../serving.js');
        const ready = await startParts(composition, config, log, parts, signal);
        // The only line on stdout: who started us waits for it.
        context.screen.line(JSON.stringify(ready));
      },
      () => context.abandon(EXIT.FAILED),
    );
    context.exitWith(code);
  });
}
