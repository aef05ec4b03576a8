/** The id in the path of a request. What is no id of ours is the id of nothing: 404, not 400. */
import type { Request } from 'express';
import { FerryError } from '../../../shared/errors.js';
import { JobId } from '../../../shared/schemas/common.js';

/** @throws FerryError JOB_NOT_FOUND */
export function jobIdOf(request: Request): string {
  return idOf(request, jobNotFound);
}

/** @throws FerryError BATCH_NOT_FOUND */
export function batchIdOf(request: Request): string {
  return idOf(request, batchNotFound);
}

export function jobNotFound(id: string): FerryError {
  return new FerryError('JOB_NOT_FOUND', `there is no job ${id.slice(0, 64)}`);
}

export function batchNotFound(id: string): FerryError {
  return new FerryError('BATCH_NOT_FOUND', `there is no batch ${id.slice(0, 64)}`);
}

function idOf(request: Request, notFound: (id: string) => FerryError): string {
  const { id } = request.params;
  if (typeof id === 'string' && JobId.safeParse(id).success) return id.toLowerCase();
  throw notFound(String(id));
}
