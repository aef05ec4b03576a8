/** Nodes in columns, for `ferry nodes`. */
import type { NodeView } from '../../shared/schemas/node.js';
import { plainTable, trimRight } from './report.js';
import { formatDuration, formatRate } from './words.js';

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
