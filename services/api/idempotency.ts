/** The Idempotency-Key of a request: the same key with the same body makes the same thing once. */
import type { Request } from 'express';
import { z } from 'zod';
import { FerryError } from '../../shared/errors.js';
import { validate } from './validate.js';

/** Printable ASCII: what survives every proxy and log. */
const IdempotencyKey = z
  .string()
  .min(1, 'must not be empty')
  .max(255, 'must have at most 255 characters')
  .regex(/^[\x20-\x7e]*$/, 'must be printable ASCII')
  .meta({ description: 'the same key with the same body gives the same answer, for at least 24 hours' });

export const IdempotencyHeader = z.object({ 'Idempotency-Key': IdempotencyKey.optional() });

/** @throws FerryError BAD_REQUEST */
export function readIdempotencyKey(request: Request): string | undefined {
  const values = request.headersDistinct['idempotency-key'];
  if (values === undefined) return undefined;
  const field = 'Idempotency-Key';
  if (values.length > 1) throw new FerryError('BAD_REQUEST', `${field}: is given more than once`, { field });
  return validate(IdempotencyKey, values[0], field);
}
