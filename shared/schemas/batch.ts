/**
 * A batch as a client sends and sees it: many VMs, each with one or more disks, imported together (design §6).
 * Every disk becomes one upload job. Sizes are bytes, times RFC 3339 in UTC.
 */
import { z } from 'zod';
import { ON_FAILURE } from '../states.js';
import { JobId, PoolName, Size, Timestamp } from './common.js';
import { JobError, JobPhase, JobState, Labels, Progress, StoredSource, Target, UploadOptions } from './job.js';

/** Bounded by the size of a request's body as well. */
export const MAX_DISKS = 10_000;

const Name = z
  .string()
  .trim()
  .min(1)
  .max(255)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what would break a terminal or a log line
  .regex(/^[^\x00-\x1f\x7f]*$/, 'must not contain control characters');

export const BatchDisk = z
  .strictObject({
    source: StoredSource,
    target: Target,
    options: UploadOptions.prefault({}),
    labels: Labels.default({}),
  })
  .meta({ id: 'BatchDisk' });
export type BatchDisk = z.infer<typeof BatchDisk>;

export const BatchVm = z
  .strictObject({ name: Name, disks: z.array(BatchDisk).min(1).max(1000), labels: Labels.default({}) })
  .meta({ id: 'BatchVm' });
export type BatchVm = z.infer<typeof BatchVm>;

export const BatchRequest = z
  .strictObject({
    name: Name,
    pool: PoolName.default('default'),
    vms: z.array(BatchVm).min(1).max(MAX_DISKS),
    maxConcurrentDisks: z
      .number()
      .int()
      .min(1)
      .max(1000)
      .default(10)
      .describe('disks of this batch that run at once, over all nodes'),
    onFailure: z
      .enum(ON_FAILURE)
      .default('continue')
      .describe('stop: when a disk fails, cancel those that have not started'),
    labels: Labels.default({}),
  })
  .refine((batch) => countDisks(batch.vms) <= MAX_DISKS, `at most ${MAX_DISKS} disks`)
  .refine((batch) => new Set(batch.vms.map((vm) => vm.name)).size === batch.vms.length, {
    message: 'every VM must have a name of its own',
    path: ['vms'],
  })
  .meta({ id: 'BatchRequest' });
/** A validated request, defaults filled in. */
export type BatchRequest = z.infer<typeof BatchRequest>;
/** A request as a client writes it. */
export type BatchRequestInput = z.input<typeof BatchRequest>;

export function countDisks(vms: readonly { readonly disks: readonly unknown[] }[]): number {
  return vms.reduce((count, vm) => count + vm.disks.length, 0);
}

export const BatchCounts = z
  .object({
    queued: Size,
    active: Size,
    paused: Size,
    completed: Size,
    failed: Size,
    canceled: Size,
  })
  .meta({ id: 'BatchCounts' });
export type BatchCounts = z.infer<typeof BatchCounts>;

export const BatchDiskView = z.object({
  jobId: JobId,
  state: JobState,
  phase: JobPhase.nullable(),
  target: z.string().describe('path of the target'),
  progress: Progress.nullable().describe('null before the disk was opened'),
  error: JobError.optional(),
});
export type BatchDiskView = z.infer<typeof BatchDiskView>;

export const BatchVmView = z.object({
  name: z.string(),
  state: JobState.describe('completed when all disks are; failed when one is and none is left to run'),
  disks: z.array(BatchDiskView),
});
export type BatchVmView = z.infer<typeof BatchVmView>;

/** What a list shows: without the disks. */
export const BatchSummary = z
  .object({
    id: JobId,
    name: z.string(),
    state: JobState.describe('completed when every disk is; failed when one is and none is left to run'),
    pool: PoolName,
    labels: z.record(z.string(), z.string()),
    maxConcurrentDisks: Size,
    onFailure: z.enum(ON_FAILURE),
    counts: BatchCounts,
    createdAt: Timestamp,
    startedAt: Timestamp.nullable(),
    endedAt: Timestamp.nullable(),
    links: z.object({ self: z.string(), events: z.string() }),
  })
  .meta({ id: 'BatchSummary' });
export type BatchSummary = z.infer<typeof BatchSummary>;

export const BatchView = BatchSummary.extend({
  progress: Progress.nullable().describe(
    'summed over the disks that were opened; percent and etaSeconds count a disk that was not as an average one',
  ),
  vms: z.array(BatchVmView),
}).meta({ id: 'Batch' });
export type BatchView = z.infer<typeof BatchView>;
