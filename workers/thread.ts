/**
 * What each pool thread runs. An Error loses its class and code on the way between threads (it is cloned),
 * so errors leave here as plain data; `pool.ts` rebuilds them.
 */
import { getPriority, setPriority } from 'node:os';
import { asFerryError, type WireError } from '../shared/errors.js';
import type { TaskInput, TaskName, TaskOutput } from './tasks/contracts.js';
import { TASKS } from './tasks/index.js';

/**
 * Added to the niceness of the process: with as many busy threads as there are processors the event loop waited up to 50 ms
 * for its turn, and everybody who polls waited with it. It needs little; these need much and are in no hurry.
 */
const THREAD_NICENESS = 5;

beNice();

export interface TaskCall<N extends TaskName> {
  readonly name: N;
  readonly input: TaskInput<N>;
}

export type TaskAnswer<N extends TaskName> = { readonly value: TaskOutput<N> } | { readonly error: WireError };

export default async function runTask<N extends TaskName>(call: TaskCall<N>): Promise<TaskAnswer<N>> {
  try {
    return { value: await TASKS[call.name](call.input) };
  } catch (thrown) {
    return { error: asFerryError(thrown).toWire() };
  }
}

function beNice(): void {
  try {
    // Of this thread alone: on Linux 0 means the caller, and each thread has a niceness of its own (setpriority(2)).
    setPriority(0, Math.min(19, getPriority(0) + THREAD_NICENESS));
  } catch {
    // A sandbox may refuse it. Then they are all equal, which is slower to answer and not wrong.
  }
}
