/** The tables: for a terminal, and as Markdown for docs/performance.md. What they say is computed here once. */
import Table from 'cli-table3';
import { formatBytes } from '../../shared/units.js';
import type { Verdict } from './goals.js';
import type { Machine } from './machine.js';
import { type CaseResult, fastest, median, type Series, summarize } from './statistics.js';

export interface Sheet {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export function caseSheet(result: CaseResult): Sheet {
  const peer = fastest(result, 'peer');
  const floor = fastest(result, 'floor');
  return {
    title: `(${result.workload}) ${result.title}, onto ${result.target}`,
    head: ['', 'median', 'min to max', '× fastest peer', '× floor', 'space after'],
    rows: result.series.map((series) => row(series, peer?.median, floor?.median)),
  };
}

function row(series: Series, peer: number | undefined, floor: number | undefined): string[] {
  const summary = summarize(series);
  if (summary === null) return [series.name, `left out: ${series.leftOut ?? 'not run'}`, '', '', '', ''];
  const space = median(series.samples.flatMap(({ allocatedBytes }) => allocatedBytes ?? []));
  return [
    series.name,
    seconds(summary.median),
    `${seconds(summary.least)} to ${seconds(summary.most)}`,
    peer === undefined ? '' : ratio(summary.median / peer),
    floor === undefined ? '' : ratio(summary.median / floor),
    formatBytes(space),
  ];
}

export function goalsSheet(verdicts: readonly Verdict[]): Sheet {
  return {
    title: 'Goals',
    head: ['workload', 'target', 'against', 'at most', 'measured', ''],
    rows: verdicts.map(({ workload, what, target, against, atMost, measured, met }) => [
      `(${workload}) ${what}`,
      target,
      against,
      ratio(atMost),
      measured === null ? 'not measured' : ratio(measured),
      measured === null ? '' : met ? 'met' : 'missed',
    ]),
  };
}

export function toTerminal({ title, head, rows }: Sheet): string {
  const table = new Table({
    // No colours in a file or a pipe.
    style: process.stdout.isTTY ? {} : { head: [], border: [] },
    head: [...head],
  });
  for (const cells of rows) table.push([...cells]);
  return `\n${title}\n${table.toString()}`;
}

export function toMarkdown({ title, head, rows }: Sheet): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [`### ${title}`, '', line(head), line(head.map(() => '---')), ...rows.map(line), ''].join('\n');
}

export interface Heading {
  readonly date: string;
  readonly seed: number;
  readonly rounds: number;
  readonly quick: boolean;
  readonly machine: Machine;
}

/** The whole report as Markdown, without a title of its own. */
export function markdownReport(
  heading: Heading,
  results: readonly CaseResult[],
  verdicts: readonly Verdict[],
  more: readonly Sheet[] = [],
): string {
  const { machine, date, seed, rounds, quick } = heading;
  const facts = [
    `${machine.cores} cores (${machine.processor}), ${formatBytes(machine.memoryBytes)} of memory, Linux ${machine.kernel}`,
    `Node.js ${machine.node}, imageferry ${machine.commit}`,
    ...Object.values(machine.versions),
    `${date}, ${rounds} rounds${quick ? ', quick: everything an eighth of its size' : ''}, seed ${seed}`,
  ];
  const list = facts.map((fact) => `- ${fact}`).join('\n');
  const sheets = [...(verdicts.length > 0 ? [goalsSheet(verdicts)] : []), ...more, ...results.map(caseSheet)];
  return [list, '', ...sheets.map(toMarkdown)].join('\n');
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 1000 ? 3 : 2)} s`;
}

function ratio(value: number): string {
  return value.toFixed(2);
}
