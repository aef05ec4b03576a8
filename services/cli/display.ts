/**
 * How a followed job is shown: a bar on a terminal (`display-bar.ts`), plain lines in a pipe
 * (`display-lines.ts`), JSON lines for programs. One interface, so that commands do not care.
 */
import type { JobView } from '../../shared/schemas/job.js';

export interface Display {
  changed(job: JobView): void;
  ended(job: JobView): void;
  /** Nothing more will be shown; the terminal is as it was. Safe to repeat. */
  close(): void;
}
