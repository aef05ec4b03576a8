/**
 * How long a job may wait for its own target. A job that was taken over from a node which does not answer
 * meets the lock that the old attempt still holds; failing for that would blame the job for itself.
 */
import type { JobRecord } from '../../shared/queue/records.js';

const PATIENCE_MS = 5 * 60_000;
/** Many more than run at once; the oldest is forgotten. */
const MOST = 10_000;

export class BusyPatience {
  readonly #since = new Map<string, number>();

  /** True for PATIENCE_MS after the first time, for a job that was started before; never for a first attempt. */
  readonly mayWait = ({ id, attempt }: Pick<JobRecord, 'id' | 'attempt'>): boolean => {
    if (attempt === 1) return false;
    const since = this.#since.get(id) ?? Date.now();
    const waits = Date.now() - since < PATIENCE_MS;
    if (!waits) this.#since.delete(id);
    else if (!this.#since.has(id)) this.#remember(id, since);
    return waits;
  };

  #remember(id: string, since: number): void {
    this.#since.set(id, since);
    const [oldest] = this.#since.keys();
    if (this.#since.size > MOST && oldest !== undefined) this.#since.delete(oldest);
  }
}
