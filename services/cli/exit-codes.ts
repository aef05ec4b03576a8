/** What the exit code of `ferry` means (docs/cli.md). Scripts rely on it: a number never changes its meaning. */
import type { FerryError } from '../../shared/errors.js';
import type { JobState } from '../../shared/schemas/job.js';

export const EXIT = {
  DONE: 0,
  /** The job failed, or something broke that none of the codes below names. */
  FAILED: 1,
  /** The command line, the configuration or the request is wrong: repeating it will not help. */
  USAGE: 2,
  /** The server or its queue cannot be reached: repeating it later may help. */
  UNREACHABLE: 3,
  CANCELED: 4,
  /** 128 + SIGINT: we stopped watching; the job goes on. */
  INTERRUPTED: 130,
  /** 128 + SIGPIPE: nobody reads our output any more. */
  PIPE_CLOSED: 141,
} as const;

export function exitCodeOfJob(state: JobState): number {
  if (state === 'failed') return EXIT.FAILED;
  return state === 'canceled' ? EXIT.CANCELED : EXIT.DONE;
}

export function exitCodeOfError(error: FerryError): number {
  switch (error.code) {
    case 'QUEUE_UNAVAILABLE':
    case 'NODE_UNAVAILABLE':
      return EXIT.UNREACHABLE;
    case 'CONFIG_INVALID':
      return EXIT.USAGE;
    default:
      return error.status < 500 ? EXIT.USAGE : EXIT.FAILED;
  }
}
