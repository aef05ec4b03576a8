/** Tables of what was measured: for the terminal, as Markdown for the docs, and what goes into the JSON file. */
import { execFileSync } from 'node:child_process';
import { cpus, release, totalmem } from 'node:os';
import Table from 'cli-table3';
import { formatBytes } from '../../shared/units.js';
import type { GoalLine } from './goals.js';
import { fastestPeer, type Measured, median, ofRole } from './measure.js';
import { TARGET_KINDS } from './targets.js';
import { WORKLOADS } from './workloads.js';

export interface Sheet {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly notes: readonly string[];
}

export function sheetOf(measured: Measured): Sheet {
  const { workload, target, timings, leftOut, result } = measured;
  const peer = fastestPeer(measured);
  const floor = ofRole(measured, 'floor');
  const ratio = (ms: readonly number[], other: { readonly ms: readonly number[] } | null) =>
    other === null ? '' : (median(ms) / median(other.ms)).toFixed(2);
  const where = (TARGET_KINDS as Readonly<Record<string, string>>)[target] ?? target;
  const what = WORKLOADS.find(({ letter }) => letter === workload)?.title ?? 'source and target in one file system';
  const plan = result?.plan === undefined ? [] : [`plan: ${result.plan.strategy}, ${result.plan.reason}`];
  return {
    title: `(${workload}) ${what}; ${where}`,
    head: ['', 'median', 'from – to', '× fastest peer', '× floor'],
    rows: timings.map(({ name, how, ms }) => [
      `${name} ${how}`,
      seconds(median(ms)),
      `${seconds(Math.min(...ms))} – ${seconds(Math.max(...ms))}`,
      ratio(ms, peer),
      ratio(ms, floor),
    ]),
    notes: [...plan, ...leftOut.map((why) => `left out: ${why}`)],
  };
}

export function goalSheet(lines: readonly GoalLine[]): Sheet {
  return {
    title: 'Goals',
    head: ['workload', 'target', 'against', 'at most', 'measured', ''],
    rows: lines.map(({ workload, words, target, against, most, ratio, met }) => [
      `(${workload}) ${words}`,
      target,
      against,
      `${most} ×`,
      `${ratio.toFixed(2)} ×`,
      met ? 'met' : 'missed',
    ]),
    notes: [],
  };
}

export function asText({ title, head, rows, notes }: Sheet): string {
  const style = process.stdout.isTTY ? {} : { head: [], border: [] };
  const table = new Table({ head: [...head], style });
  table.push(...rows.map((row) => [...row]));
  return [title, table.toString(), ...notes, ''].join('\n');
}

export function asMarkdown({ title, head, rows, notes }: Sheet): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const table = [line(head), line(head.map(() => '---')), ...rows.map(line)];
  return [`### ${title}`, '', ...table, '', ...notes.map((note) => `${note}\n`)].join('\n');
}

export function machine(): Record<string, string> {
  const version = (program: string, ...args: string[]) => {
    try {
      return (execFileSync(program, args, { encoding: 'utf8' }).split('\n')[0] ?? '').trim();
    } catch {
      return 'missing';
    }
  };
  return {
    cpu: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
    memory: formatBytes(totalmem()),
    kernel: release(),
    node: process.version,
    qemuImg: version('qemu-img', '--version'),
    nbdcopy: version('nbdcopy', '--version'),
    dd: version('dd', '--version'),
    commit: version('git', 'rev-parse', '--short', 'HEAD'),
  };
}

function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}
