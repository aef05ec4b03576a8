/** The id in the path of a request. */
import type { Request } from 'express';
import { FerryError } from '../../../shared/errors.js';
import { JobId } from '../../../shared/schemas/common.js';

/** @throws FerryError JOB_NOT_FOUND  what is no id of a job is the id of no job */
export function jobIdOf(request: Request): string {
  const { id } = request.params;
  if (typeof id === 'string' && JobId.safeParse(id).success) return id.toLowerCase();
  throw jobNotFound(String(id));
}

export function jobNotFound(id: string): FerryError {
  return new FerryError('JOB_NOT_FOUND', `there is no job ${id.slice(0, 64)}`);
}
