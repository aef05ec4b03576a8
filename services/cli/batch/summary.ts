/** A batch and its VMs in few numbers, as people count them. Pure functions; nothing here prints. Sizes are bytes. */
import type { BatchDiskView, BatchView, BatchVmView } from '../../../shared/schemas/batch.js';
import type { JobError, JobState, Progress } from '../../../shared/schemas/job.js';
import { ENDED_STATES, JOB_STATES } from '../../../shared/states.js';
import { formatBytes } from '../../../shared/units.js';
import { formatRate, jobStage } from '../words.js';

export interface VmSummary {
  readonly name: string;
  readonly state: JobState;
  /** The phase of its running disk, else its state. */
  readonly stage: string;
  readonly doneDisks: number;
  readonly disks: number;
  readonly percent: number;
  readonly bytesPerSecond: number;
  /** Of the first disk that failed. */
  readonly error: JobError | undefined;
}

export function summarizeVm({ name, state, disks }: BatchVmView): VmSummary {
  return {
    name,
    state,
    stage: vmStage(state, disks),
    doneDisks: disks.filter((disk) => disk.state === 'completed').length,
    disks: disks.length,
    percent: percentOf(disks.map((disk) => disk.progress)),
    bytesPerSecond: disks.reduce((sum, disk) => sum + rateOf(disk), 0),
    error: disks.find((disk) => disk.state === 'failed')?.error,
  };
}

function vmStage(state: JobState, disks: readonly BatchDiskView[]): string {
  if (state !== 'active') return state;
  const running = disks.find((disk) => disk.state === 'active');
  return running === undefined ? 'waiting' : jobStage({ ...running, requested: null });
}

/** While it is opened, a disk that was taken over still shows the progress of the attempt before. */
function rateOf({ state, phase, progress }: BatchDiskView): number {
  return state === 'active' && phase !== 'opening' ? (progress?.bytesPerSecond ?? 0) : 0;
}

/** Of all disks together. One that was not opened yet counts as an average one: its size is not known. */
function percentOf(progresses: readonly (Progress | null)[]): number {
  const opened = progresses.filter((progress) => progress !== null);
  const total = opened.reduce((sum, { totalBytes }) => sum + totalBytes, 0);
  if (total === 0) return 0;
  const done = opened.reduce((sum, { percent, totalBytes }) => sum + percent * totalBytes, 0);
  const percent = done / (total * (progresses.length / opened.length));
  // Never rounded up: 100 means that all of it is durable.
  return Math.floor(percent * 10) / 10;
}

export interface BatchSum {
  readonly vms: number;
  readonly doneVms: number;
  readonly disks: number;
  readonly doneDisks: number;
  readonly failedDisks: number;
  readonly canceledDisks: number;
  readonly endedDisks: number;
}

export function sumBatch({ vms, counts }: Pick<BatchView, 'vms' | 'counts'>): BatchSum {
  return {
    vms: vms.length,
    doneVms: vms.filter((vm) => vm.state === 'completed').length,
    disks: JOB_STATES.reduce((sum, state) => sum + counts[state], 0),
    doneDisks: counts.completed,
    failedDisks: counts.failed,
    canceledDisks: counts.canceled,
    endedDisks: ENDED_STATES.reduce((sum, state) => sum + counts[state], 0),
  };
}

/** `30 queued, 7 completed, 1 failed`: how many there are in each state. */
export function tally(things: readonly { readonly state: JobState }[]): string {
  return JOB_STATES.map((state) => [things.filter((thing) => thing.state === state).length, state] as const)
    .filter(([n]) => n > 0)
    .map(([n, state]) => `${n} ${state}`)
    .join(', ');
}

/** `31 GiB of 60 GiB`, and how much of it was read back: several disks are in several phases at once. */
export function amountOf({ doneBytes, totalBytes, verifiedBytes }: Progress): string {
  const verified = verifiedBytes === 0 ? '' : `, ${formatBytes(verifiedBytes)} verified`;
  return `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}${verified}`;
}

/** `web-1 /dev/vg/web-1`: a disk as people find it again. */
export function diskTitle(vm: string, disk: Pick<BatchDiskView, 'target'>): string {
  return `${vm} ${disk.target}`;
}

/** What stands at the end of a VM's row. */
export function vmNews({ error, state, bytesPerSecond }: VmSummary): string {
  if (error !== undefined) return `${error.code}: ${error.message}`;
  return state === 'active' ? formatRate(bytesPerSecond) : '';
}
