/** From a plan file to a batch request, checked here, so that a mistake is named by its line before anything is sent. */
import { createReadStream } from 'node:fs';
import { basename, dirname, extname, resolve } from 'node:path';
import { FerryError, type FieldProblem } from '../../../shared/errors.js';
import { BatchRequest, type BatchRequestInput } from '../../../shared/schemas/batch.js';
import { validate } from '../../api/validate.js';
import { PlanDocument } from './document.js';
import { Expansion, isFields } from './expand.js';

/** What flags say instead of the file. */
export type PlanOverrides = Partial<Pick<BatchRequestInput, 'name' | 'pool' | 'maxConcurrentDisks' | 'onFailure'>>;

export interface Plan {
  /** Only what was written: what is left out keeps the server's default. */
  readonly request: BatchRequestInput;
  /** An error that names fields of the request, now with file and line. Others are returned as they are. */
  locate(error: unknown): unknown;
}

const STDIN = '-';
/** A plan of ten thousand disks has 2 or 3 MiB. */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * @param file  `-`: stdin, and relative paths are relative to the working directory
 * @throws FerryError BAD_REQUEST, BODY_TOO_LARGE, PATH_NOT_FOUND, STORAGE_DENIED
 */
export async function readPlan(file: string, overrides: PlanOverrides): Promise<Plan> {
  const document = new PlanDocument(file === STDIN ? 'stdin' : file, await readText(file));
  const { value } = document;
  if (!isFields(value)) {
    throw new FerryError('BAD_REQUEST', `${document.file}:1: a plan is an object with a list of "vms"`);
  }
  const expansion = new Expansion(file === STDIN ? process.cwd() : dirname(resolve(file)));
  const request = { ...nameFrom(file), ...(await expansion.plan(value)), ...overrides };
  const locate = (error: unknown) => locateIn(document, error);
  try {
    if (expansion.problems.length > 0) throw new FerryError('BAD_REQUEST', '', { errors: expansion.problems });
    validate(BatchRequest, request, 'plan');
  } catch (thrown) {
    throw locate(thrown);
  }
  return { request: request as BatchRequestInput, locate };
}

/** Bounded, because a disk image is easily typed where its plan was meant. */
async function readText(file: string): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of file === STDIN ? process.stdin : createReadStream(file)) {
      length += chunk.length;
      if (length > MAX_BYTES) throw new FerryError('BODY_TOO_LARGE', `${file}: larger than a plan can be (16 MiB)`);
      chunks.push(chunk);
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch (cause) {
    if (cause instanceof FerryError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new FerryError('PATH_NOT_FOUND', `${file}: there is no such file`, {}, { cause });
    if (code === 'EACCES') throw new FerryError('STORAGE_DENIED', `${file}: may not be read`, {}, { cause });
    const words = code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'is not text in UTF-8' : message;
    throw new FerryError('BAD_REQUEST', `${file}: ${words}`, {}, { cause });
  }
}

/** `wave-1.yaml` that does not say otherwise is the plan of `wave-1`. */
function nameFrom(file: string): { name?: string } {
  const name = basename(file, extname(file)).trim();
  return file === STDIN || name === '' ? {} : { name };
}

function locateIn(document: PlanDocument, error: unknown): unknown {
  if (!(error instanceof FerryError) || !Array.isArray(error.details.errors)) return error;
  const problems = (error.details.errors as readonly FieldProblem[]).map(({ field, message }) => ({
    field: `${document.file}:${document.lineOf(field)}: ${field}`,
    message,
  }));
  const [first] = problems;
  if (first === undefined) return error;
  const sentence =
    problems.length === 1 ? `${first.field}: ${first.message}` : `${document.file}: ${problems.length} mistakes`;
  return new FerryError(error.code, sentence, { ...error.details, errors: problems }, { cause: error });
}
