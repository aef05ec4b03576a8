/**
 * The words of requests and views that programs list or compare, without the schemas that check them: building those
 * takes longer than all else that a command does before it runs.
 */

export const JOB_STATES = ['queued', 'active', 'paused', 'completed', 'failed', 'canceled'] as const;
export const ENDED_STATES: readonly (typeof JOB_STATES)[number][] = ['completed', 'failed', 'canceled'];

export const JOB_KINDS = ['upload', 'zero', 'download'] as const;

/** What a batch does when one of its disks fails. */
export const ON_FAILURE = ['continue', 'stop'] as const;

/** Bytes per second. Slower is a pause; there is one. */
export const LEAST_BANDWIDTH = 64 * 1024;
