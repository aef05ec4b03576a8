/** Errors as a person should see them: what happened, its code, and what to do. Never a stack, unless asked. */
import type { ErrorCode, FerryError, FieldProblem } from '../../shared/errors.js';

const ADVICE: Partial<Record<ErrorCode, string>> = {
  UNAUTHORIZED: 'set FERRY_API_TOKEN or FERRY_API_TOKEN_FILE to the token of the server',
  PATH_FORBIDDEN: 'the server allows only what its FERRY_STORAGE_ROOTS names',
  TICKET_REFUSED: 'ask whoever gave the URL for a new one: tickets end, and each is for reading or for writing',
  TARGET_BUSY: 'unmount it, or wait for the job that uses it ("ferry jobs --state active")',
  TARGET_TOO_SMALL: 'make the target at least as large as the image',
  STORAGE_FULL: 'free some space, then "ferry retry ID"',
  STORAGE_DENIED: 'look at the permissions of the path, and at the user that the node runs as',
  SOURCE_CHANGED: 'stop whatever writes to the source, then try again ("ferry retry ID"; an upload begins anew)',
  JOB_NOT_FOUND: '"ferry jobs" lists what there is; old jobs are forgotten (FERRY_KEEP_JOBS_SECONDS)',
  BATCH_NOT_FOUND: '"ferry batches" lists what there is; old batches are forgotten (FERRY_KEEP_JOBS_SECONDS)',
  BODY_TOO_LARGE: 'make several batches of it',
  POOL_UNKNOWN: 'start a node with that pool in its FERRY_POOLS',
  NODE_UNAVAILABLE: 'look whether the node runs, and can be reached from here',
  QUEUE_UNAVAILABLE: 'look whether Redis runs, and at FERRY_REDIS_URL',
};

/** Who wrote one thing wrong ten thousand times needs to see it a few times. */
const MAX_PROBLEMS = 20;

/** Lines for stderr. */
export function explain(error: FerryError, withStack: boolean): string[] {
  const lines = [`ferry: ${error.message} (${error.code})`];
  const { errors } = error.details;
  // One problem is the message already; of several each gets its line.
  if (Array.isArray(errors) && errors.length > 1) {
    const problems = errors as readonly FieldProblem[];
    for (const { field, message } of problems.slice(0, MAX_PROBLEMS)) lines.push(`  ${field}: ${message}`);
    if (problems.length > MAX_PROBLEMS) lines.push(`  and ${problems.length - MAX_PROBLEMS} more`);
  }
  // What names a program to install or a variable to set is advice enough.
  const advice = /FERRY_|apt-get/.test(error.message) ? undefined : adviceFor(error.code);
  if (advice !== undefined) lines.push(`  ${advice}`);
  if (withStack) lines.push(String((error.cause as Error | undefined)?.stack ?? error.stack));
  return lines;
}

export function adviceFor(code: ErrorCode): string | undefined {
  return ADVICE[code];
}
