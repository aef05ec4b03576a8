/** Whole jobs, plans and lists as text for people: lines to print, one string each. */
import Table from 'cli-table3';
import type { JobResult, JobView, Plan } from '../../shared/schemas/job.js';
import { formatBytes } from '../../shared/units.js';
import { bandwidthOf, formatDuration, formatRate, jobStage, jobTitle } from './words.js';

/** What a finished job did, by which method, for how long. */
export function resultLines(job: JobView): string[] {
  const { result } = job;
  if (result === undefined) return [];
  const bytes = job.progress?.totalBytes ?? result.plan?.targetBytes ?? result.copiedBytes;
  const seconds = Math.max(result.durationMs, 1) / 1000;
  // What an earlier attempt did took none of this one's time.
  const rate = (bytes - Math.min(bytes, result.resumedBytes)) / seconds;
  const speed = rate === 0 ? '' : ` (${formatRate(rate)})`;
  return [
    `completed: ${formatBytes(bytes)} in ${formatDuration(result.durationMs)}${speed}`,
    ...rows([
      [
        'resumed',
        result.resumedBytes === 0 ? null : `${formatBytes(result.resumedBytes)} were durable before and not done again`,
      ],
      ['cloned', result.clonedBytes === 0 ? null : `${formatBytes(result.clonedBytes)} share the blocks of the source`],
      ['copied', job.kind === 'zero' || result.plan?.strategy === 'clone' ? null : copied(result)],
      ...result.zeroed.map(({ method, bytes: zeroed, calls, durationMs }): [string, string] => [
        'zeroed',
        `${formatBytes(zeroed)} by ${method}, ${calls} call${calls === 1 ? '' : 's'} of ${formatDuration(durationMs / Math.max(calls, 1))}`,
      ]),
      ['plan', result.plan === undefined ? null : `${result.plan.strategy}: ${result.plan.reason}`],
      ['phases', phases(result)],
      ['verified', result.checksum === undefined ? null : `${result.checksum.algorithm} ${result.checksum.checksum}`],
      ...(result.plan?.warnings ?? []).map((warning): [string, string] => ['warning', warning]),
    ]),
  ];
}

/** Why a job failed is told on stderr, with advice; here only that it did. */
export function endLines(job: JobView): string[] {
  if (job.state !== 'completed') return [job.state];
  return resultLines(job);
}

function copied(result: JobResult): string {
  if (result.plan === undefined) return `${formatBytes(result.copiedBytes)} by a client`;
  const way = result.plan.directIo ? 'with direct I/O' : 'through the page cache';
  const detected =
    result.detectedZeroBytes === 0 ? '' : `; ${formatBytes(result.detectedZeroBytes)} of data were zeroes`;
  return `${formatBytes(result.copiedBytes)} ${way}${detected}`;
}

function phases(result: JobResult): string {
  return Object.entries(result.phases)
    .map(([phase, ms]) => `${phase} ${formatDuration(ms)}`)
    .join(', ');
}

/** What a dry run answered. */
export function planLines(plan: Plan): string[] {
  return [
    'plan (nothing was written):',
    ...rows([
      ['strategy', `${plan.strategy}: ${plan.reason}`],
      ['image', formatBytes(plan.imageBytes)],
      ['target', `${formatBytes(plan.targetBytes)}, sectors of ${plan.sectorSize} B`],
      ['data', `${formatBytes(plan.dataBytes)} in ${plan.extents} extent${plan.extents === 1 ? '' : 's'}`],
      ['zero', `${formatBytes(plan.zeroBytes)}, ${plan.allocation}`],
      ['tail', plan.tailBytes === 0 ? null : formatBytes(plan.tailBytes)],
      ['methods', plan.zeroMethods.join(', ') || 'none needed'],
      ['direct I/O', plan.directIo ? 'yes' : 'no'],
      ['steps', String(plan.steps)],
      ['estimate', plan.estimateSeconds === null ? null : formatDuration(plan.estimateSeconds * 1000)],
      ...plan.warnings.map((warning): [string, string] => ['warning', warning]),
    ]),
  ];
}

/** One job in full. */
export function jobLines(job: JobView): string[] {
  const progress = job.progress;
  const bandwidth = bandwidthOf(job);
  return [
    `job ${job.id}`,
    ...rows([
      ['what', jobTitle(job)],
      ['state', jobStage(job)],
      ['progress', progress === null ? null : `${progress.percent} % of ${formatBytes(progress.totalBytes)}`],
      ['rate', job.state === 'active' && progress !== null ? formatRate(progress.bytesPerSecond) : null],
      ['bandwidth', bandwidth === null ? null : `at most ${formatRate(bandwidth)}`],
      ['priority', job.options.priority === 0 ? null : String(job.options.priority)],
      ['batch', job.batch === null ? null : `${job.batch.id}, VM ${job.batch.vm}`],
      ['pool', job.pool],
      ['labels', labels(job) || null],
      ['attempt', String(job.attempt)],
      ['node', job.node],
      ['created', job.createdAt],
      ['started', job.startedAt],
      ['ended', job.endedAt],
      ['error', job.error === undefined ? null : `${job.error.message} (${job.error.code})`],
    ]),
    ...resultLines(job),
  ];
}

/** A list of jobs in columns. */
export function jobTable(jobs: readonly JobView[]): string {
  const table = plainTable(['ID', 'STATE', 'DONE', 'CREATED', 'WHAT', 'LABELS']);
  for (const job of jobs) {
    const percent = job.progress === null ? '' : `${job.progress.percent} %`;
    table.push([
      job.id,
      jobStage(job),
      percent,
      job.createdAt.slice(0, 19).replace('T', ' '),
      jobTitle(job),
      labels(job),
    ]);
  }
  return trimRight(table.toString());
}

/** Columns without lines around them: easy to read, and to cut with other programs. */
export function plainTable(head: string[]): InstanceType<typeof Table> {
  const none = Object.fromEntries(
    ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'].map((part) => [
      part,
      '',
    ]),
  );
  const inside = { left: '', 'left-mid': '', mid: '', 'mid-mid': '', right: '', 'right-mid': '', middle: '  ' };
  return new Table({
    head,
    chars: { ...none, ...inside },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
}

export function trimRight(text: string): string {
  return text.replace(/[ \t]+$/gm, '');
}

function labels(job: JobView): string {
  return Object.entries(job.labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ');
}

/** Indented `name  value` lines; null leaves a line out. */
export function rows(entries: readonly (readonly [string, string | null])[]): string[] {
  const shown = entries.filter((entry): entry is readonly [string, string] => entry[1] !== null);
  const width = Math.max(...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`);
}
