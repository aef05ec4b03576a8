/** The nodes as Redis knows them: each says how it is every few seconds; who is silent for too long is lost. */
import type { NodeReport, NodeView } from '../schemas/node.js';
import type { RunScript } from './run-script.js';

/** How often a node says that it is there. */
export const BEAT_MS = 2000;
const FORGET_MS = 24 * 3600 * 1000;

/** @param leaseMs  a node that is silent for longer has lost its jobs */
export async function listNodes(run: RunScript, leaseMs: number): Promise<NodeView[]> {
  const [now, ...pairs] = await run('nodes', FORGET_MS);
  const patienceMs = Math.max(leaseMs, 3 * BEAT_MS);
  const nodes: NodeView[] = [];
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const text = pairs[i + 1] as string;
    const space = text.indexOf(' ');
    const heardMs = Number(text.slice(0, space));
    const report = JSON.parse(text.slice(space + 1)) as NodeReport;
    const silent = Number(now) - heardMs > patienceMs;
    const state = report.state !== 'stopped' && silent ? 'lost' : report.state;
    nodes.push({ ...report, state, heardAt: new Date(heardMs).toISOString() });
  }
  return nodes.sort((a, b) => a.name.localeCompare(b.name));
}
