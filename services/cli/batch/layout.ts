/**
 * The picture of a followed batch on a terminal: a row for each VM, or for those that run when there are more VMs
 * than rows, and a row for the total. Text in, text out; `display-bars.ts` draws it.
 */

import columnsOf from 'string-width';
import type { BatchView } from '../../../shared/schemas/batch.js';
import { formatBytes } from '../../../shared/units.js';
import { cut, inColumn, progressWords } from '../words.js';
import { amountOf, sumBatch, summarizeVm, tally, type VmSummary, vmNews } from './summary.js';

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

const TOTAL = 'total';
const MAX_NAME = 24;
const STAGE = 'completed'.length;
const PERCENT = '100.0 %'.length;
/** What is kept free for the words behind the bars: `1023.9 MiB/s  59 min 59 s left`. */
const WORDS = 30;
const MAX_BAR = 40;
/** A shorter bar tells nothing that the percentage does not. */
const MIN_BAR = 8;
const GAP = '  ';

/** Rows from top to bottom, none wider than the terminal, all together fewer than it has. */
export interface Picture {
  readonly vms: readonly string[];
  /** What stays at the bottom: the sum of what is not shown, and the total. */
  readonly foot: readonly string[];
}

export function layOut(batch: BatchView, size: Size): Picture {
  const vms = batch.vms.map(summarizeVm);
  const { shown, rest } = choose(vms, size.rows);
  const { doneDisks, disks } = sumBatch(batch);
  const total = { name: TOTAL, stage: batch.state, percent: batch.progress?.percent ?? 0, doneDisks, disks };
  const widths = widthsOf([...vms, total], size.columns);
  return {
    vms: shown.map((vm) => draw(vm, widths, [vmNews(vm)])),
    foot: [...(rest === '' ? [] : [cut(rest, size.columns)]), draw(total, widths, totalWords(batch))],
  };
}

/** All VMs, when there is room for them, the total and the line that the cursor rests on; else those that run. */
function choose(vms: readonly VmSummary[], rows: number): { shown: readonly VmSummary[]; rest: string } {
  if (vms.length <= rows - 2) return { shown: vms, rest: '' };
  const shown = vms.filter((vm) => vm.state === 'active').slice(0, Math.max(0, rows - 3));
  const rest = vms.filter((vm) => !shown.includes(vm));
  return { shown, rest: `${rest.length} ${shown.length > 0 ? 'more ' : ''}VMs: ${tally(rest)}` };
}

interface Row {
  readonly name: string;
  readonly stage: string;
  readonly percent: number;
  readonly doneDisks: number;
  readonly disks: number;
}

interface Widths {
  readonly columns: number;
  readonly name: number;
  readonly disks: number;
  /** 0: no bar. */
  readonly bar: number;
}

/** Of all rows, also of VMs that are not shown now: columns must not move when one takes another's row. */
function widthsOf(rows: readonly Row[], columns: number): Widths {
  const name = Math.min(MAX_NAME, Math.max(...rows.map((row) => columnsOf(row.name))));
  // `3/12` will be `12/12` one day.
  const disks = 2 * String(Math.max(...rows.map((row) => row.disks))).length + 1;
  const others = name + STAGE + PERCENT + disks + 5 * GAP.length;
  const bar = Math.min(MAX_BAR, columns - others - WORDS);
  return { columns, name, disks, bar: bar < MIN_BAR ? 0 : bar };
}

/** As many of `words` as there is room for; the first one is cut rather than left out. */
function draw({ name, stage, percent, doneDisks, disks }: Row, widths: Widths, words: readonly string[]): string {
  let row = [
    inColumn(name, widths.name),
    inColumn(stage, STAGE),
    ...(widths.bar === 0 ? [] : [bar(percent, widths.bar)]),
    `${percent.toFixed(1)} %`.padStart(PERCENT),
    `${doneDisks}/${disks}`.padStart(widths.disks),
  ].join(GAP);
  for (const [index, word] of words.entries()) {
    if (word === '') continue;
    const longer = row + GAP + word;
    if (index > 0 && columnsOf(longer) > widths.columns) break;
    row = longer;
  }
  return cut(row, widths.columns);
}

function bar(percent: number, width: number): string {
  const full = Math.floor((Math.min(percent, 100) / 100) * width);
  return '█'.repeat(full) + '░'.repeat(width - full);
}

function totalWords({ progress, state }: BatchView): string[] {
  if (progress === null) return [];
  if (state !== 'active') return [formatBytes(progress.doneBytes)];
  const { rate, left } = progressWords('copying', progress);
  return [rate, left, amountOf(progress)];
}
