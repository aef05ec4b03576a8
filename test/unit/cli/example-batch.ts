/** A batch as the API shows it, for tests that only look at it. */
import type { BatchDiskView, BatchView, BatchVmView } from '../../../shared/schemas/batch.js';
import type { JobState } from '../../../shared/schemas/job.js';
import { JOB_STATES } from '../../../shared/states.js';
import { exampleProgress } from './example-job.js';

const ID = '01a20593-8e73-76f8-a0cc-faed16ae8400';

/** `number` makes ids and paths that differ. */
export function exampleDisk(number: number, state: JobState, percent: number | null = null): BatchDiskView {
  return {
    jobId: `01a20593-8e73-76f8-a0cc-${String(number).padStart(12, '0')}`,
    state,
    phase: state === 'active' ? 'copying' : null,
    target: `/dev/vg/disk-${number}`,
    progress: percent === null ? null : exampleProgress(percent),
    ...(state === 'failed' ? { error: { code: 'STORAGE_FULL' as const, message: 'no space left' } } : {}),
  };
}

export function exampleVm(name: string, state: JobState, ...disks: BatchDiskView[]): BatchVmView {
  return { name, state, disks };
}

export function exampleBatch(vms: BatchVmView[], change: Partial<BatchView> = {}): BatchView {
  const states = vms.flatMap((vm) => vm.disks).map((disk) => disk.state);
  return {
    id: ID,
    name: 'wave-1',
    state: 'active',
    pool: 'default',
    labels: { wave: '1' },
    maxConcurrentDisks: 10,
    onFailure: 'continue',
    counts: Object.fromEntries(
      JOB_STATES.map((state) => [state, states.filter((other) => other === state).length]),
    ) as BatchView['counts'],
    progress: exampleProgress(50),
    vms,
    createdAt: '2026-01-02T03:04:05.678Z',
    startedAt: '2026-01-02T03:04:06.000Z',
    endedAt: null,
    links: { self: `/v1/batches/${ID}`, events: `/v1/batches/${ID}/events` },
    ...change,
  };
}

/** Ended, after ten seconds. */
export function endedBatch(state: JobState, vms: BatchVmView[]): BatchView {
  return exampleBatch(vms, { state, endedAt: '2026-01-02T03:04:16.000Z', progress: exampleProgress(100) });
}
