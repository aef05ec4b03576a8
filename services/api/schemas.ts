/** What only the API says: parameters, short answers, problems. The job itself is in `shared/schemas`. */
import { z } from 'zod';
import { ERRORS, type ErrorCode } from '../../shared/errors.js';
import { BatchSummary } from '../../shared/schemas/batch.js';
import { JobId, PoolName, Size } from '../../shared/schemas/common.js';
import { JobKind, JobState, JobView } from '../../shared/schemas/job.js';
import { NodeView } from '../../shared/schemas/node.js';

/** A whole number in a query: digits only, so that neither '' nor '1e3' nor ' 7' slips through as a number. */
function integerParameter(min: number, max: number, description: string) {
  return z
    .string()
    .regex(/^\d{1,15}$/, `must be a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((n) => n >= min && n <= max, `must be a whole number from ${min} to ${max}`)
    .meta({ description, override: { type: 'integer', pattern: undefined, minimum: min, maximum: max } });
}

const Cursor = z.string().max(200).optional().meta({ description: '`nextCursor` of the answer before' });
const nextCursor = z.string().nullable().describe('for the next page; null on the last one');

export const JobPath = z.object({ id: JobId.meta({ description: 'id of the job' }) });

export const BatchPath = z.object({ id: JobId.meta({ description: 'id of the batch' }) });

export const CreateQuery = z.strictObject({
  dryRun: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .optional()
    .meta({ description: 'true: answer the plan, write and queue nothing' }),
});

export const ListQuery = z.strictObject({
  state: JobState.optional(),
  kind: JobKind.optional(),
  pool: PoolName.optional(),
  batch: JobId.toLowerCase().optional().meta({ description: 'id of a batch: its disks' }),
  limit: integerParameter(1, 1000, 'most jobs in the answer').optional(),
  cursor: Cursor,
});

export const ListBatchesQuery = z.strictObject({
  state: JobState.optional(),
  pool: PoolName.optional(),
  limit: integerParameter(1, 1000, 'most batches in the answer').optional(),
  cursor: Cursor,
});

export const GetQuery = z.strictObject({
  wait: integerParameter(0, 60, 'seconds to wait for a change').optional(),
});

export const NoQuery = z.strictObject({});

/** A body where nothing is to be said: none, or `{}`. */
export const NoBody = z.strictObject({});

/** The header of an answer that made something. */
export function locationOf(what: string) {
  return z.object({ Location: z.string().meta({ description: `path of the ${what}` }) });
}

const Links = z.object({ self: z.string(), events: z.string() });

export const JobAccepted = z
  .object({
    id: JobId,
    kind: JobKind,
    state: JobState,
    links: Links,
    upload: JobView.shape.upload,
    download: JobView.shape.download,
  })
  .meta({ id: 'JobAccepted' });
export type JobAccepted = z.infer<typeof JobAccepted>;

export const JobList = z
  .object({
    jobs: z.array(JobView).describe('newest first; may be shorter than `limit` although there are more'),
    nextCursor,
  })
  .meta({ id: 'JobList' });
export type JobList = z.infer<typeof JobList>;

export const BatchAccepted = z
  .object({ id: JobId, state: JobState, disks: Size.describe('number of disks'), links: Links })
  .meta({ id: 'BatchAccepted' });
export type BatchAccepted = z.infer<typeof BatchAccepted>;

export const BatchList = z
  .object({
    batches: z.array(BatchSummary).describe('newest first; may be shorter than `limit` although there are more'),
    nextCursor,
  })
  .meta({ id: 'BatchList' });
export type BatchList = z.infer<typeof BatchList>;

export const NodeList = z.object({ nodes: z.array(NodeView) }).meta({ id: 'NodeList' });
export type NodeList = z.infer<typeof NodeList>;

export const Health = z.object({ status: z.literal('ok') }).meta({ id: 'Health' });

export const Problem = z
  .object({
    type: z.string().describe('`urn:imageferry:error:` and the code'),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]).describe('what programs compare'),
    instance: z.string().describe('path of the request'),
    errors: z
      .array(z.object({ field: z.string(), message: z.string() }))
      .optional()
      .describe('what is wrong with which field, such as `source.path` or `ranges[0].length`'),
  })
  .meta({ id: 'Problem', description: 'Problem details (RFC 9457)' });
export type Problem = z.infer<typeof Problem>;
