/** Whole batches and lists of them as text for people: lines to print, one string each. */
import type { BatchDiskView, BatchSummary, BatchView } from '../../../shared/schemas/batch.js';
import { JOB_STATES } from '../../../shared/states.js';
import { formatBytes } from '../../../shared/units.js';
import { adviceFor } from '../failure.js';
import { plainTable, rows, trimRight } from '../report.js';
import { count, formatDuration, formatRate, progressWords } from '../words.js';
import { diskTitle, sumBatch, summarizeVm, vmNews } from './summary.js';

/** More are listed by `ferry jobs`. */
const MAX_FAILURES = 20;

/** One batch in full: what it is, and a table of its VMs. */
export function batchLines(batch: BatchView): string[] {
  const { progress } = batch;
  const table = plainTable(['VM', 'STATE', 'DISKS', 'DONE', 'RATE', 'ERROR']);
  for (const vm of batch.vms.map(summarizeVm)) {
    const rate = vm.state === 'active' ? formatRate(vm.bytesPerSecond) : '';
    const error = vm.error === undefined ? '' : vmNews(vm);
    table.push([vm.name, vm.stage, `${vm.doneDisks}/${vm.disks}`, `${vm.percent} %`, rate, error]);
  }
  const labels = Object.entries(batch.labels).map(([key, value]) => `${key}=${value}`);
  const words = progress === null ? null : progressWords('copying', progress);
  const moving =
    batch.state === 'active' && words !== null ? [words.rate, words.left].filter((word) => word !== '') : [];
  return [
    `batch ${batch.id}`,
    ...rows([
      ['name', batch.name],
      ['state', batch.state],
      ['disks', `${diskTally(batch)}; at most ${batch.maxConcurrentDisks} at once`],
      ['progress', progress === null ? null : `${progress.percent} % of ${formatBytes(progress.totalBytes)}`],
      ['rate', moving.length === 0 ? null : moving.join(', ')],
      ['pool', batch.pool],
      ['labels', labels.join(' ') || null],
      ['on failure', batch.onFailure],
      ['created', batch.createdAt],
      ['started', batch.startedAt],
      ['ended', batch.endedAt],
    ]),
    '',
    ...trimRight(table.toString()).split('\n'),
  ];
}

/** A list of batches in columns. */
export function batchTable(batches: readonly BatchSummary[]): string {
  const table = plainTable(['ID', 'STATE', 'DISKS', 'CREATED', 'NAME', 'POOL']);
  for (const batch of batches) {
    const created = batch.createdAt.slice(0, 19).replace('T', ' ');
    table.push([batch.id, batch.state, diskTally(batch), created, batch.name, batch.pool]);
  }
  return trimRight(table.toString());
}

/** What was done, how long it took, how fast it was. Why disks failed is told on stderr (`failureLines`). */
export function batchEndLines(batch: BatchView): string[] {
  const { vms, doneVms, disks, doneDisks, failedDisks, canceledDisks } = sumBatch(batch);
  const bytes = batch.progress?.doneBytes ?? 0;
  const ms = wallMs(batch);
  const time = ms === null ? '' : ` in ${formatDuration(ms)} (${formatRate((bytes / Math.max(ms, 1)) * 1000)})`;
  const some =
    batch.state === 'completed'
      ? [count(vms, 'VM'), count(disks, 'disk')]
      : [`${doneVms} of ${count(vms, 'VM')}`, `${doneDisks} of ${count(disks, 'disk')}`];
  const lost = [
    ...(failedDisks === 0 ? [] : [`${count(failedDisks, 'disk')} failed`]),
    ...(canceledDisks === 0 ? [] : [`${count(canceledDisks, 'disk')} canceled`]),
  ];
  return [`${batch.state}: ${[...some, formatBytes(bytes)].join(', ')}${time}`, ...lost.map((words) => `  ${words}`)];
}

/** For stderr: every disk that failed, by code, message and target, and what to do. */
export function failureLines(batch: BatchView): string[] {
  const failed = batch.vms.flatMap(({ name, disks }) =>
    disks.filter(({ state }) => state === 'failed').map((disk) => ({ name, disk })),
  );
  const lines = failed.slice(0, MAX_FAILURES).flatMap(({ name, disk }) => failure(name, disk));
  const more = failed.length - MAX_FAILURES;
  if (more > 0) lines.push(`ferry: ${more} more: "ferry jobs --batch ${batch.id} --state failed" lists all`);
  if (failed.length > 0) lines.push(`ferry: "ferry batch retry ${batch.id}" queues what failed once more`);
  return lines;
}

function failure(vm: string, disk: BatchDiskView): string[] {
  const retry = `ferry retry ${disk.jobId}`;
  const { code, message } = disk.error ?? { code: 'INTERNAL', message: 'no reason is known' };
  return [`ferry: ${diskTitle(vm, disk)}: ${message} (${code})`, `  ${whatToDo(adviceFor(code), retry)}`];
}

function whatToDo(advice: string | undefined, retry: string): string {
  if (advice === undefined) return `"${retry}" queues it once more`;
  return advice.includes('ferry retry ID') ? advice.replace('ferry retry ID', retry) : `${advice}; then "${retry}"`;
}

/** `12 of 14 done, 2 failed`. */
function diskTally({ counts }: Pick<BatchSummary, 'counts'>): string {
  const all = JOB_STATES.reduce((sum, state) => sum + counts[state], 0);
  const others = JOB_STATES.filter((state) => state !== 'completed' && counts[state] > 0);
  return [`${counts.completed} of ${all} done`, ...others.map((state) => `${counts[state]} ${state}`)].join(', ');
}

/** From the start of its first disk to the end of its last. */
function wallMs({ startedAt, endedAt }: BatchView): number | null {
  return startedAt === null || endedAt === null ? null : Date.parse(endedAt) - Date.parse(startedAt);
}
