/** `ferry nodes`: who runs the jobs, and how busy they are. */
import type { Command } from 'commander';
import { addClientFlags, type ClientFlags, clientOf } from '../client-flags.js';
import type { Context } from '../context.js';

export function addNodes(program: Command, context: Context): void {
  const command = program.command('nodes').description('list the nodes that run jobs');
  addClientFlags(command).action(async (flags: ClientFlags) => {
    const client = await clientOf(flags, context);
    const nodes = await client.nodes();
    if (flags.json === true) return context.screen.line(JSON.stringify({ nodes }));
    if (nodes.length === 0) {
      return context.screen.note('no nodes: nothing runs until "ferry serve" or "ferry node" does');
    }
    const { nodeTable } = await import('../node-table.js');
    context.screen.line(nodeTable(nodes, Date.now()));
  });
}
