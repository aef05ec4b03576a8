/**
 * A followed batch for whoever does not look at a terminal: the total now and then, a line for each disk that ends,
 * and one for each VM of several disks.
 */
import type { BatchView, BatchVmView } from '../../../shared/schemas/batch.js';
import type { JobState } from '../../../shared/schemas/job.js';
import { ENDED_STATES } from '../../../shared/states.js';
import { formatBytes } from '../../../shared/units.js';
import type { Screen } from '../context.js';
import type { Display } from '../display.js';
import { count, progressWords } from '../words.js';
import { batchEndLines } from './report.js';
import { amountOf, diskTitle, sumBatch } from './summary.js';

const EVERY_MS = 5000;
const EVERY_PERCENT = 10;

export class BatchLineDisplay implements Display<BatchView> {
  private state: JobState | undefined;
  private tenth = 0;
  private shownAt = 0;
  /** The last known states of disks (by job) and VMs (by name). A retried one ends twice. */
  private readonly told = new Map<string, JobState>();

  constructor(
    private readonly screen: Screen,
    private readonly now: () => number = Date.now,
  ) {}

  changed(batch: BatchView): void {
    for (const vm of batch.vms) this.tellEnds(vm);
    const tenth = Math.floor((batch.progress?.percent ?? 0) / EVERY_PERCENT);
    if (batch.state === this.state && tenth === this.tenth && this.now() - this.shownAt < EVERY_MS) return;
    this.state = batch.state;
    this.tenth = tenth;
    this.shownAt = this.now();
    if (batch.endedAt !== null) return; // told by `ended`
    this.screen.line(totalLine(batch));
  }

  ended(batch: BatchView): void {
    for (const line of batchEndLines(batch)) this.screen.line(line);
  }

  close(): void {}

  private tellEnds(vm: BatchVmView): void {
    for (const disk of vm.disks) {
      if (!this.isNewEnd(disk.jobId, disk.state)) continue;
      const size = disk.progress === null ? '' : formatBytes(disk.progress.totalBytes);
      const news = disk.error === undefined ? size : `${disk.error.message} (${disk.error.code})`;
      const words = [diskTitle(vm.name, disk), disk.state, disk.state === 'canceled' ? '' : news];
      this.screen.line(words.filter((word) => word !== '').join('  '));
    }
    if (vm.disks.length > 1 && this.isNewEnd(`VM ${vm.name}`, vm.state)) {
      this.screen.line(`${vm.name}  ${vm.state}  ${count(vm.disks.length, 'disk')}`);
    }
  }

  private isNewEnd(key: string, state: JobState): boolean {
    const before = this.told.get(key);
    this.told.set(key, state);
    return state !== before && ENDED_STATES.includes(state);
  }
}

function totalLine(batch: BatchView): string {
  const { endedDisks, disks } = sumBatch(batch);
  const ended = `${endedDisks} of ${count(disks, 'disk')}`;
  if (batch.progress === null) return `${batch.state}  ${ended}`;
  const { rate, left } = progressWords('copying', batch.progress);
  const moving = batch.state === 'active' ? [rate, left] : [];
  const words = [batch.state, `${batch.progress.percent.toFixed(1)} %`, ended, amountOf(batch.progress), ...moving];
  return words.filter((word) => word !== '').join('  ');
}
