/** Numbers and jobs as short words for people. Pure functions; nothing here prints. */

import columnsOf from 'string-width';
import type { JobPhase, JobView, Progress } from '../../shared/schemas/job.js';
import { storageName } from '../../shared/storage-name.js';
import { formatBytes } from '../../shared/units.js';

const GRAPHEMES = new Intl.Segmenter();

/** `850 ms`, `12.3 s`, `4 min 5 s`, `3 h 20 min`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(Math.round(bytesPerSecond))}/s`;
}

/** The pieces of a progress bar or line. Verifying counts its own bytes: copying has filled the others. */
export function progressWords(
  phase: JobPhase | null,
  progress: Progress,
): { amount: string; rate: string; left: string } {
  const bytes = phase === 'verifying' ? progress.verifiedBytes : progress.doneBytes;
  const left = progress.etaSeconds === null ? '' : `${formatDuration(Math.ceil(progress.etaSeconds) * 1000)} left`;
  return {
    amount: `${formatBytes(bytes)} of ${formatBytes(progress.totalBytes)}`,
    rate: formatRate(progress.bytesPerSecond),
    left: progress.percent >= 100 ? '' : left.replace('.0 s', ' s'),
  };
}

/** What a job does, in words: `/srv/a.img -> /dev/vg/lv`. */
export function jobTitle(job: Pick<JobView, 'kind' | 'source' | 'target' | 'ranges'>): string {
  const target = job.target === undefined ? 'client' : storageName(job.target);
  if (job.source !== undefined) return `${storageName(job.source)} -> ${target}`;
  const ranges = job.ranges === undefined ? '' : ` (${job.ranges.length} range${job.ranges.length === 1 ? '' : 's'})`;
  return `zero ${target}${ranges}`;
}

/** Bytes a second that a job may move; null: as much as it can, or nobody limits its client. */
export function bandwidthOf({ options }: Pick<JobView, 'options'>): number | null {
  return 'bandwidthBytesPerSecond' in options ? options.bandwidthBytesPerSecond : null;
}

/** Where a job stands: what was asked of it while it is not done, its phase while it runs, its state otherwise. */
export function jobStage(job: Pick<JobView, 'state' | 'phase' | 'requested'>): string {
  if (job.requested === 'pause') return 'pausing';
  if (job.requested === 'cancel') return 'canceling';
  // What a job does after its client has ended shows in its phases.
  if (job.requested === 'finalize' && job.phase === 'copying') return 'finalizing';
  return job.state === 'active' && job.phase !== null ? job.phase : job.state;
}

/** `1 disk`, `12 disks`. */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

/** `text` in at most `width` columns of a terminal; an ellipsis stands for what was cut off. */
export function cut(text: string, width: number): string {
  if (columnsOf(text) <= width) return text;
  let kept = '';
  for (const { segment } of GRAPHEMES.segment(text)) {
    if (columnsOf(kept + segment) >= width) break;
    kept += segment;
  }
  return width < 1 ? '' : `${kept}…`;
}

/** `text` in exactly `width` columns of a terminal. */
export function inColumn(text: string, width: number): string {
  const shown = cut(text, width);
  return shown + ' '.repeat(width - columnsOf(shown));
}

/** Names and paths are others' words: none of them may move the cursor or ring the bell of who reads them. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
}
