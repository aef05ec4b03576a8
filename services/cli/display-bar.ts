/**
 * A progress bar for a terminal. One bar for the whole job, named after its phase; its percentage is
 * the server's, which says 100 only for what is durable.
 */
import { Presets, SingleBar } from 'cli-progress';
import type { JobView } from '../../shared/schemas/job.js';
import type { Screen } from './context.js';
import type { Display } from './display.js';
import { endLines } from './report.js';
import { jobStage, progressWords } from './words.js';

/** What stands beside the bar: `verifying  99.9 %  1023.9 GiB of 1023.9 GiB  1023.9 MiB/s  59 min 59 s left`. */
const BESIDE = 86;
const STAGE_WIDTH = 'verifying'.length;

export class BarDisplay implements Display<JobView> {
  private bar: SingleBar | undefined;

  constructor(private readonly screen: Screen) {}

  changed(job: JobView): void {
    const stage = jobStage(job).padEnd(STAGE_WIDTH);
    const { percent = 0 } = job.progress ?? {};
    const words = job.progress === null || job.endedAt !== null ? NO_WORDS : progressWords(job.phase, job.progress);
    const payload = { stage, percent: percent.toFixed(1).padStart(5), ...words };
    if (this.bar === undefined) {
      this.bar = this.createBar();
      this.bar.start(100, percent, payload);
    } else {
      this.bar.update(percent, payload);
    }
  }

  ended(job: JobView): void {
    this.close();
    for (const line of endLines(job)) this.screen.line(line);
  }

  close(): void {
    this.bar?.stop();
    this.bar = undefined;
  }

  private createBar(): SingleBar {
    const barsize = Math.min(40, this.screen.columns - BESIDE);
    const bar = barsize >= 5 ? '{bar} ' : '';
    return new SingleBar(
      {
        format: `{stage} ${bar}{percent} %  {amount}  {rate}  {left}`,
        barsize: Math.max(barsize, 5),
        stream: process.stdout,
        hideCursor: true,
        // Signals are ours: cli-progress would end the process by itself.
        gracefulExit: false,
        // Redrawn when there is news and not by a timer: a bar that moves by itself tells nothing.
        fps: 10,
      },
      Presets.shades_classic,
    );
  }
}

const NO_WORDS = { amount: '', rate: '', left: '' };
