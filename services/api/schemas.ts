/** What only the API says: parameters, short answers, problems. The job itself is in `shared/schemas`. */
import { z } from 'zod';
import { ERRORS, type ErrorCode } from '../../shared/errors.js';
import { JobId, PoolName } from '../../shared/schemas/common.js';
import { JobKind, JobState, JobView } from '../../shared/schemas/job.js';

/** A whole number in a query: digits only, so that neither '' nor '1e3' nor ' 7' slips through as a number. */
function integerParameter(min: number, max: number, description: string) {
  return z
    .string()
    .regex(/^\d{1,15}$/, `must be a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((n) => n >= min && n <= max, `must be a whole number from ${min} to ${max}`)
    .meta({ description, override: { type: 'integer', pattern: undefined, minimum: min, maximum: max } });
}

export const JobPath = z.object({ id: JobId.meta({ description: 'id of the job' }) });

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
  limit: integerParameter(1, 1000, 'most jobs in the answer').optional(),
  cursor: z.string().max(200).optional().meta({ description: '`nextCursor` of the answer before' }),
});

export const GetQuery = z.strictObject({
  wait: integerParameter(0, 60, 'seconds to wait for a change').optional(),
});

export const NoQuery = z.strictObject({});

/** A body where nothing is to be said: none, or `{}`. */
export const NoBody = z.strictObject({});

/** Printable ASCII: what survives every proxy and log. */
export const IdempotencyKey = z
  .string()
  .min(1, 'must not be empty')
  .max(255, 'must have at most 255 characters')
  .regex(/^[\x20-\x7e]*$/, 'must be printable ASCII')
  .meta({ description: 'the same key with the same body gives the same job, for at least 24 hours' });

const Links = z.object({ self: z.string(), events: z.string() });

export const JobAccepted = z
  .object({ id: JobId, kind: JobKind, state: JobState, links: Links })
  .meta({ id: 'JobAccepted' });
export type JobAccepted = z.infer<typeof JobAccepted>;

export const JobList = z
  .object({
    jobs: z.array(JobView).describe('newest first; may be shorter than `limit` although there are more'),
    nextCursor: z.string().nullable().describe('for the next page; null on the last one'),
  })
  .meta({ id: 'JobList' });
export type JobList = z.infer<typeof JobList>;

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
