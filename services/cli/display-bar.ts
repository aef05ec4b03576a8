/**
 * A progress bar for a terminal. One bar for the whole job, named after its phase; its percentage is
 * the server's, which says 100 only for what is durable.
 */
import type { JobView } from '../../shared/schemas/job.js';
import { Bar } from './bar.js';
import type { Screen } from './context.js';
import type { Display } from './display.js';
import { endLines } from './report.js';
import { jobStage, progressWords } from './words.js';

export class BarDisplay implements Display<JobView> {
  private readonly bar: Bar;

  constructor(private readonly screen: Screen) {
    this.bar = new Bar(screen);
  }

  changed(job: JobView): void {
    const words = job.progress === null || job.endedAt !== null ? NO_WORDS : progressWords(job.phase, job.progress);
    this.bar.show(jobStage(job), job.progress?.percent ?? 0, words);
  }

  ended(job: JobView): void {
    this.close();
    for (const line of endLines(job)) this.screen.line(line);
  }

  close(): void {
    this.bar.close();
  }
}

const NO_WORDS = { amount: '', rate: '', left: '' };
