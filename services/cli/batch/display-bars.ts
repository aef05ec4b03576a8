/** A followed batch on a terminal: a bar for each VM and one for the total, redrawn in place. */
import { MultiBar, type SingleBar } from 'cli-progress';
import type { BatchView } from '../../../shared/schemas/batch.js';
import type { Screen } from '../context.js';
import type { Display } from '../display.js';
import { printable } from '../words.js';
import { layOut, type Picture } from './layout.js';
import { batchEndLines } from './report.js';

export class BarsDisplay implements Display<BatchView> {
  private drawing: Drawing | undefined;

  constructor(private readonly screen: Screen) {}

  changed(batch: BatchView): void {
    const { columns, rows } = this.screen;
    // What was drawn in a taller window cannot be drawn over in this one.
    if (this.drawing !== undefined && this.drawing.height >= rows) this.close();
    this.drawing ??= new Drawing();
    this.drawing.draw(layOut(batch, { columns, rows }));
  }

  ended(batch: BatchView): void {
    this.close();
    for (const line of batchEndLines(batch)) this.screen.line(line);
  }

  close(): void {
    this.drawing?.close();
    this.drawing = undefined;
  }
}

/** Rows of text, over what they said before. It grows with its rows and never shrinks. */
class Drawing {
  private readonly rows: SingleBar[] = [];
  private readonly bars = new MultiBar({
    // The rows are ours; cli-progress puts them where they belong.
    format: (_options, _params, { text }: { text: string }) => text,
    stream: process.stdout,
    hideCursor: true,
    // A row that is wider than a window that was just made narrower must not become two.
    linewrap: false,
    // Signals are ours: cli-progress would end the process by itself.
    gracefulExit: false,
    // Drawn when there is news; the timer has nothing to say.
    fps: 0.1,
  });

  get height(): number {
    return this.rows.length;
  }

  draw({ vms, foot }: Picture): void {
    const blank = Array.from({ length: Math.max(0, this.rows.length - vms.length - foot.length) }, () => '');
    for (const [index, line] of [...vms, ...blank, ...foot].entries()) {
      const text = printable(line);
      const row = this.rows[index];
      if (row === undefined) this.rows.push(this.bars.create(100, 0, { text }));
      else row.update({ text });
    }
    this.bars.update();
  }

  close(): void {
    this.bars.stop();
  }
}
