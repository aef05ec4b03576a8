/**
 * How something followed is shown: bars on a terminal, plain lines in a pipe, JSON lines for programs.
 * One interface for jobs (`display-bar.ts`, `display-lines.ts`) and batches (`batch/`), so that commands do not care.
 */
import type { Screen } from './context.js';

export interface Display<View> {
  changed(view: View): void;
  ended(view: View): void;
  /** Nothing more will be shown, or nothing for a while; the terminal is as it was. Safe to repeat. */
  close(): void;
}

export class JsonDisplay<View> implements Display<View> {
  constructor(private readonly screen: Screen) {}

  changed(view: View): void {
    this.screen.line(JSON.stringify(view));
  }

  ended(): void {}

  close(): void {}
}
