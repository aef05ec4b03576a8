/** `ferry nodes`: who runs the jobs, and how busy they are. */
import type { Command } from 'commander';
import type { NodeView } from '../../../shared/schemas/node.js';
import { addClientFlags, type ClientFlags, clientOf } from '../client-flags.js';
import type { Context } from '../context.js';
import { plainTable, trimRight } from '../report.js';
import { formatDuration, formatRate } from '../words.js';

export function addNodes(program: Command, context: Context): void {
  const command = program.command('nodes').description('list the nodes that run jobs');
  addClientFlags(command).action(async (flags: ClientFlags) => {
    const nodes = await clientOf(flags, context).nodes();
    if (flags.json === true) return context.screen.line(JSON.stringify({ nodes }));
    if (nodes.length > 0) return context.screen.line(nodeTable(nodes, Date.now()));
    context.screen.note('no nodes: nothing runs until "ferry serve" or "ferry node" does');
  });
}

/** @param nowMs  what HEARD counts from */
export function nodeTable(nodes: readonly NodeView[], nowMs: number): string {
  const table = plainTable(['NAME', 'STATE', 'POOLS', 'JOBS', 'RATE', 'VERSION', 'HEARD']);
  for (const node of nodes) {
    // A clock that is ahead of ours is no reason to show a negative time.
    const heard = `${formatDuration(Math.max(0, nowMs - Date.parse(node.heardAt)))} ago`;
    // What a node that is gone last said of its load holds no more.
    const works = node.state === 'up' || node.state === 'draining';
    table.push([
      node.name,
      node.state,
      node.pools.join(','),
      works ? `${node.load.jobs}/${node.concurrency}` : '',
      works ? formatRate(node.load.bytesPerSecond) : '',
      node.version,
      heard,
    ]);
  }
  return trimRight(table.toString());
}
