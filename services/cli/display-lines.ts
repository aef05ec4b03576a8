/** A followed job for whoever does not look at a terminal: plain lines for logs. */
import type { JobView } from '../../shared/schemas/job.js';
import type { Screen } from './context.js';
import type { Display } from './display.js';
import { endLines } from './report.js';
import { jobStage, progressWords } from './words.js';

const EVERY_MS = 5000;
const EVERY_PERCENT = 10;

/** A line at each phase, at each tenth, and every few seconds: a log stays readable, a reader sees it live. */
export class LineDisplay implements Display<JobView> {
  private stage = '';
  private attempt = 0;
  private tenth = 0;
  private shownAt = 0;

  constructor(
    private readonly screen: Screen,
    private readonly now: () => number = Date.now,
  ) {}

  changed(job: JobView): void {
    const stage = jobStage(job);
    const percent = job.progress?.percent ?? 0;
    const tenth = Math.floor(percent / EVERY_PERCENT);
    const isNew = stage !== this.stage || job.attempt !== this.attempt;
    if (!isNew && tenth === this.tenth && this.now() - this.shownAt < EVERY_MS) return;
    this.stage = stage;
    this.attempt = job.attempt;
    this.tenth = tenth;
    this.shownAt = this.now();
    if (job.endedAt !== null) return; // told by `ended`
    this.screen.line([stage, ...details(job)].join('  '));
  }

  ended(job: JobView): void {
    for (const line of endLines(job)) this.screen.line(line);
  }

  close(): void {}
}

function details(job: JobView): string[] {
  if (job.state === 'queued' && job.error !== undefined)
    return [`again, after: ${job.error.message} (${job.error.code})`];
  if (job.state !== 'active' || job.progress === null) return [];
  const { amount, rate, left } = progressWords(job.phase, job.progress);
  return [`${job.progress.percent.toFixed(1)} %`, amount, rate, left].filter((word) => word !== '');
}
