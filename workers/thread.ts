/**
 * What each pool thread runs. An Error loses its class and code on the way between threads (it is cloned),
 * so errors leave here as plain data; `pool.ts` rebuilds them.
 */
import { asFerryError, type WireError } from '../shared/errors.js';
import type { TaskInput, TaskName, TaskOutput } from './tasks/contracts.js';
import { TASKS } from './tasks/index.js';

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
