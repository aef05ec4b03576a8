/**
 * The job as a client sends and sees it: request, plan, progress, result, view (design §6).
 * These schemas validate requests, type the code and make the OpenAPI document.
 * Sizes are bytes; times are RFC 3339 in UTC; durations are milliseconds.
 */
import { z } from 'zod';
import { ERRORS, type ErrorCode } from '../errors.js';
import { JOB_KINDS, JOB_STATES, LEAST_BANDWIDTH } from '../states.js';
import { ALLOCATIONS, ZERO_METHODS } from '../zero-methods.js';
import { JobId, NbdUri, PoolName, Size, StoragePath, Timestamp } from './common.js';

export const JobState = z.enum(JOB_STATES);
export type JobState = z.infer<typeof JobState>;

export const JOB_PHASES = ['opening', 'mapping', 'zeroing', 'copying', 'flushing', 'verifying'] as const;
export const JobPhase = z.enum(JOB_PHASES);
export type JobPhase = z.infer<typeof JobPhase>;

export const JobKind = z.enum(JOB_KINDS);
export type JobKind = z.infer<typeof JobKind>;

export const FileSource = z
  .strictObject({
    type: z.literal('file').describe('a file or a block device on the node'),
    path: StoragePath,
    format: z.literal('raw').default('raw'),
  })
  .meta({ id: 'FileSource' });
export const NbdSource = z
  .strictObject({ type: z.literal('nbd').describe('an export of an NBD server'), uri: NbdUri })
  .meta({ id: 'NbdSource' });
export const ClientSource = z
  .strictObject({
    type: z.literal('client').describe('a client sends the data, to the upload URL that the job has while it runs'),
    size: Size.min(1).describe('of the image'),
    format: z.literal('raw').default('raw'),
  })
  .meta({ id: 'ClientSource' });
/** What a node can read by itself. */
export const StoredSource = z.discriminatedUnion('type', [FileSource, NbdSource]).meta({ id: 'StoredSource' });
export type StoredSource = z.infer<typeof StoredSource>;
export const Source = z.discriminatedUnion('type', [FileSource, NbdSource, ClientSource]).meta({ id: 'Source' });
export type Source = z.infer<typeof Source>;

export const BlockTarget = z.strictObject({ type: z.literal('block'), path: StoragePath }).meta({ id: 'BlockTarget' });
export const FileTarget = z
  .strictObject({
    type: z.literal('file'),
    path: StoragePath,
    size: Size.min(1).optional().describe('size of the file; default: that of the image, or of the existing file'),
  })
  .meta({ id: 'FileTarget' });
export const NbdTarget = z.strictObject({ type: z.literal('nbd'), uri: NbdUri }).meta({ id: 'NbdTarget' });
export const Target = z.discriminatedUnion('type', [BlockTarget, FileTarget, NbdTarget]).meta({ id: 'Target' });
export type Target = z.infer<typeof Target>;

export const Allocation = z.enum(ALLOCATIONS);

export const Priority = z.number().int().min(0).max(1000);
export const Bandwidth = Size.min(LEAST_BANDWIDTH);

export const UploadOptions = z
  .strictObject({
    allocation: Allocation.default('preallocated'),
    verify: z.boolean().default(false).describe('read the target back and compare it with the source'),
    detectZeroes: z
      .boolean()
      .default(true)
      .describe('zero data that turns out to be zeroes instead of writing it; no effect on what a client sends'),
    targetIsZero: z.boolean().default(false).describe('you vouch that the whole target reads as zeroes'),
    zeroTail: z.boolean().default(true).describe('zero what lies behind the image on a larger target'),
    priority: Priority.default(0).describe('higher runs sooner'),
    bandwidthBytesPerSecond: Bandwidth.nullable().default(null).describe('limit for reading and writing; null: none'),
  })
  .meta({ id: 'UploadOptions' });
export type UploadOptions = z.infer<typeof UploadOptions>;

export const ZeroOptions = UploadOptions.pick({
  allocation: true,
  priority: true,
  bandwidthBytesPerSecond: true,
}).meta({ id: 'ZeroOptions' });
export type ZeroOptions = z.infer<typeof ZeroOptions>;

export const Labels = z
  .record(z.string().min(1).max(63), z.string().max(255))
  .refine((labels) => Object.keys(labels).length <= 32, 'at most 32 labels');

const common = { pool: PoolName.default('default'), labels: Labels.default({}) };

export const UploadRequest = z
  .strictObject({
    kind: z.literal('upload'),
    source: Source,
    target: Target,
    options: UploadOptions.prefault({}),
    ...common,
  })
  .superRefine(({ source, options }, context) => {
    if (source.type !== 'client') return;
    const refuse = (option: string, why: string) =>
      context.addIssue({ code: 'custom', path: ['options', option], message: why });
    if (options.bandwidthBytesPerSecond !== null)
      refuse('bandwidthBytesPerSecond', 'the client decides how fast it sends');
    if (options.verify) refuse('verify', 'give the checksum when the job is finalized');
  })
  .meta({ id: 'UploadRequest' });
export type UploadRequest = z.infer<typeof UploadRequest>;
export type StoredUpload = UploadRequest & { readonly source: StoredSource };
export type ClientUpload = UploadRequest & { readonly source: z.infer<typeof ClientSource> };

export function isClientUpload(request: JobRequest): request is ClientUpload {
  return request.kind === 'upload' && request.source.type === 'client';
}

export const DownloadRequest = z
  .strictObject({
    kind: z.literal('download').describe('a client reads the source, from the URL that the job has while it runs'),
    source: StoredSource,
    options: UploadOptions.pick({ priority: true }).prefault({}),
    ...common,
  })
  .meta({ id: 'DownloadRequest' });
export type DownloadRequest = z.infer<typeof DownloadRequest>;

export const ZeroRange = z
  .strictObject({ start: Size, length: Size.min(1) })
  .refine((range) => Number.isSafeInteger(range.start + range.length), 'start + length must stay below 2^53');

export const ZeroRequest = z
  .strictObject({
    kind: z.literal('zero'),
    target: Target,
    ranges: z.array(ZeroRange).min(1).max(1000).optional().describe('default: the whole target'),
    options: ZeroOptions.prefault({}),
    ...common,
  })
  .meta({ id: 'ZeroRequest' });
export type ZeroRequest = z.infer<typeof ZeroRequest>;

export const JobRequest = z
  .discriminatedUnion('kind', [UploadRequest, ZeroRequest, DownloadRequest])
  .meta({ id: 'JobRequest' });
/** A validated request, defaults filled in. */
export type JobRequest = z.infer<typeof JobRequest>;
/** A request as a client writes it. */
export type JobRequestInput = z.input<typeof JobRequest>;

/** What a client says when it has sent all, or read all. */
export const FinalizeRequest = z
  .strictObject({
    checksum: z
      .strictObject({
        algorithm: z.string().min(1).max(40),
        blockSize: Size.min(4096)
          .max(16 * 1024 * 1024)
          .multipleOf(4096),
        checksum: z.string().regex(/^[0-9a-f]{2,256}$/, 'must be hexadecimal digits'),
      })
      .optional()
      .describe('of the whole image, as GET /images/{id}/checksum gives it; the job compares it with its target'),
  })
  .meta({ id: 'FinalizeRequest' });
export type FinalizeRequest = z.infer<typeof FinalizeRequest>;

/** Where a client sends or reads, as a node offers it while the job runs. */
export const ClientOffer = z.object({
  url: z.string().describe('of an image of the data plane; speak the imageio protocol to it'),
  local: z.string().nullable().describe('unix socket of the same on the node; null: none'),
});
export type ClientOffer = z.infer<typeof ClientOffer>;

export const UploadOffer = ClientOffer.extend({
  durable: z
    .array(z.tuple([Size, Size]))
    .describe('[start, length] of what survives a crash of the node: need not be sent again, unless it was sent twice'),
});

export type TargetInput = z.input<typeof Target>;
export type StoredSourceInput = z.input<typeof StoredSource>;
/** A request for an upload that a node does by itself. */
export type ImportInput = Extract<JobRequestInput, { kind: 'upload' }> & { readonly source: StoredSourceInput };

/** Whether a client sends or reads the data, and says when it is done. */
export function hasClient(request: JobRequest): boolean {
  return request.kind === 'download' || isClientUpload(request);
}

/** What may be changed of a job that has not ended. */
export const JobPatch = z
  .strictObject({
    priority: Priority.optional().describe('counts the next time that the job waits'),
    bandwidthBytesPerSecond: Bandwidth.nullable().optional().describe('null: no limit; heard within a second'),
  })
  .refine((patch) => Object.keys(patch).length > 0, 'must name what is to be changed')
  .meta({ id: 'JobPatch' });
export type JobPatch = z.infer<typeof JobPatch>;

export const Progress = z
  .object({
    totalBytes: Size.describe('bytes of the target that the job settles'),
    dataBytes: Size.describe('of these: bytes of extents that hold data'),
    zeroBytes: Size.describe('of these: bytes that read as zeroes'),
    doneBytes: Size,
    durableBytes: Size.describe('done and confirmed by a flush'),
    verifiedBytes: Size,
    percent: z.number().min(0).max(100).describe('100 means durable, and verified where that was asked for'),
    bytesPerSecond: z.number().min(0),
    etaSeconds: z.number().min(0).nullable(),
  })
  .meta({ id: 'Progress' });
export type Progress = z.infer<typeof Progress>;

export const PLAN_STRATEGIES = ['zero-first', 'zero-holes', 'no-zero', 'clone'] as const;
export const ZERO_PROOFS = ['created', 'declared', 'zeroed', 'none'] as const;

export const Plan = z
  .object({
    strategy: z
      .enum(PLAN_STRATEGIES)
      .describe(
        'zero-first: one zero over the target, then data; zero-holes: only the holes; no-zero: proven zero; ' +
          'clone: the target shares the blocks of the source',
      ),
    proof: z.enum(ZERO_PROOFS).describe('why bytes that are neither written nor zeroed again read as zeroes'),
    reason: z.string().describe('what was measured or known, in words'),
    allocation: Allocation,
    zeroMethods: z.array(z.enum(ZERO_METHODS)).describe('the methods left to try, best first'),
    directIo: z.boolean(),
    sectorSize: Size,
    imageBytes: Size,
    targetBytes: Size,
    dataBytes: Size,
    zeroBytes: Size,
    tailBytes: Size,
    extents: Size.describe('number of data extents in the source'),
    steps: Size.describe('number of steps that run on threads'),
    warnings: z.array(z.string()),
    estimateSeconds: z.number().nullable(),
  })
  .meta({ id: 'Plan' });
export type Plan = z.infer<typeof Plan>;

export const MethodUse = z.object({
  method: z.enum(ZERO_METHODS),
  bytes: Size,
  calls: Size,
  durationMs: z.number().describe('summed over threads'),
});
export type MethodUse = z.infer<typeof MethodUse>;

export const Checksum = z.object({ algorithm: z.string(), blockSize: Size, checksum: z.string() });
export type Checksum = z.infer<typeof Checksum>;

export const JobResult = z
  .object({
    plan: Plan.optional().describe('left out where a client did the work'),
    durationMs: z.number(),
    phases: z.partialRecord(JobPhase, z.number()).describe('milliseconds by phase'),
    copiedBytes: Size.describe('bytes written from the source, or sent by a client; of a download: read'),
    clonedBytes: Size.describe(
      'bytes of the image, its holes included, that share the blocks of the source: not copied',
    ),
    resumedBytes: Size.describe('bytes that an earlier attempt had made durable; not done again'),
    detectedZeroBytes: Size.describe('bytes of data extents that turned out to be zeroes'),
    zeroed: z.array(MethodUse),
    checksum: Checksum.optional().describe('of the whole image, where verified: hash of the digests of its blocks'),
  })
  .meta({ id: 'JobResult' });
export type JobResult = z.infer<typeof JobResult>;

export const JobError = z
  .object({
    code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
    message: z.string(),
    errno: z.number().optional(),
    syscall: z.string().optional(),
    path: z.string().optional(),
  })
  .meta({ id: 'JobError' });
export type JobError = z.infer<typeof JobError>;

export const JobView = z
  .object({
    id: JobId,
    kind: JobKind,
    state: JobState,
    phase: JobPhase.nullable(),
    pool: PoolName,
    labels: z.record(z.string(), z.string()),
    batch: z.object({ id: JobId, vm: z.string() }).nullable().describe('where the job is a disk of a batch'),
    source: Source.optional(),
    target: Target.optional(),
    ranges: z.array(ZeroRange).optional().describe('of a zero job; left out in lists'),
    options: z.union([UploadOptions, ZeroOptions, DownloadRequest.shape.options]),
    upload: UploadOffer.nullable()
      .optional()
      .describe('of an upload by a client; null while it cannot send; left out in lists'),
    download: ClientOffer.nullable().optional().describe('of a download; null while it cannot read'),
    progress: Progress.nullable(),
    result: JobResult.optional(),
    error: JobError.optional().describe('why it failed; while it waits for another try: why the last one failed'),
    attempt: Size.describe('how often it has been started'),
    node: z.string().nullable(),
    requested: z.enum(['cancel', 'pause', 'finalize']).nullable().describe('asked for, and not done yet'),
    createdAt: Timestamp,
    startedAt: Timestamp.nullable(),
    endedAt: Timestamp.nullable(),
    links: z.object({ self: z.string(), events: z.string() }),
  })
  .meta({ id: 'Job' });
export type JobView = z.infer<typeof JobView>;
