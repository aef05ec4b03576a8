/** Shows a transfer that no job stands for: a bar on a terminal, lines in a pipe, JSON lines for programs. */
import { formatBytes } from '../../../shared/units.js';
import { Bar } from '../bar.js';
import type { Screen } from '../context.js';
import { formatDuration, formatRate } from '../words.js';

const EVERY_MS = 5000;
const TENTH = 10;

export interface TransferDisplayOptions {
  readonly screen: Screen;
  readonly json: boolean;
  /** What is done, such as `sending`. */
  readonly stage: string;
  readonly now?: () => number;
}

export class TransferDisplay {
  readonly #bar: Bar | null;
  readonly #now: () => number;
  readonly #beganMs: number;
  #totalBytes = 0;
  #doneBytes = 0;
  #shownMs: number;
  #shownTenth = 0;

  constructor(private readonly options: TransferDisplayOptions) {
    this.#now = options.now ?? (() => performance.now());
    this.#beganMs = this.#now();
    this.#shownMs = this.#beganMs;
    this.#bar = options.screen.terminal && !options.json ? new Bar(options.screen) : null;
  }

  begin(totalBytes: number): void {
    this.#totalBytes = totalBytes;
    this.#bar?.show(this.options.stage, 0, this.#words());
  }

  add(length: number): void {
    this.#doneBytes = Math.min(this.#totalBytes, this.#doneBytes + length);
    if (this.#bar === null) this.#line();
    else this.#bar.show(this.options.stage, this.#percent, this.#words());
  }

  /** At each tenth, and every few seconds. */
  #line(): void {
    const tenth = Math.floor(this.#percent / TENTH);
    if (tenth === this.#shownTenth && this.#now() - this.#shownMs < EVERY_MS) return;
    this.#shownTenth = tenth;
    this.#shownMs = this.#now();
    const { amount, rate, left } = this.#words();
    const { screen, json, stage } = this.options;
    const words = [stage, `${this.#percent.toFixed(1)} %`, amount, rate, left].filter((word) => word !== '');
    screen.line(json ? this.#json() : words.join('  '));
  }

  /** All of it is durable where it went to. */
  completed(): void {
    this.close();
    const { screen, json } = this.options;
    const durationMs = Math.round(this.#now() - this.#beganMs);
    const size = formatBytes(this.#totalBytes);
    const words = `completed: ${size} in ${formatDuration(durationMs)} (${formatRate(this.#rate())})`;
    screen.line(json ? this.#json({ state: 'completed', durationMs }) : words);
  }

  close(): void {
    this.#bar?.close();
  }

  get #percent(): number {
    return this.#totalBytes === 0 ? 0 : (100 * this.#doneBytes) / this.#totalBytes;
  }

  #rate(): number {
    return this.#doneBytes / (Math.max(1, this.#now() - this.#beganMs) / 1000);
  }

  #words() {
    const leftMs = (1000 * (this.#totalBytes - this.#doneBytes)) / Math.max(1, this.#rate());
    const left = formatDuration(Math.ceil(leftMs / 1000) * 1000).replace('.0 s', ' s');
    return {
      amount: `${formatBytes(this.#doneBytes)} of ${formatBytes(this.#totalBytes)}`,
      rate: formatRate(this.#rate()),
      left: this.#doneBytes === 0 || leftMs === 0 ? '' : `${left} left`,
    };
  }

  #json(more: object = {}): string {
    const [totalBytes, doneBytes] = [this.#totalBytes, this.#doneBytes];
    return JSON.stringify({ totalBytes, doneBytes, bytesPerSecond: Math.round(this.#rate()), ...more });
  }
}
