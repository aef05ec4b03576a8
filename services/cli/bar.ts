/** One progress bar on the terminal: a stage, a percentage, and words beside it as far as there is room. */
import { Presets, SingleBar } from 'cli-progress';
import type { Screen } from './context.js';

/** What stands beside the bar: `verifying  99.9 %  1023.9 GiB of 1023.9 GiB  1023.9 MiB/s  59 min 59 s left`. */
const BESIDE = 86;
const STAGE_WIDTH = 'verifying'.length;

export interface BarWords {
  readonly amount: string;
  readonly rate: string;
  readonly left: string;
}

export class Bar {
  private bar: SingleBar | undefined;

  constructor(private readonly screen: Screen) {}

  show(stage: string, percent: number, words: BarWords): void {
    const payload = { stage: stage.padEnd(STAGE_WIDTH), percent: percent.toFixed(1).padStart(5), ...words };
    if (this.bar === undefined) {
      this.bar = this.createBar();
      this.bar.start(100, percent, payload);
    } else {
      this.bar.update(percent, payload);
    }
  }

  /** The terminal is as it was; what comes next starts a new bar. */
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
