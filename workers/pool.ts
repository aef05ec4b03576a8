/**
 * The pool of threads and its typed client: the only way by which a service reaches a disk.
 * `run` answers when the task has ended; what the task threw is thrown again here as a FerryError.
 */
import { Piscina } from 'piscina';
import { asFerryError, FerryError } from '../shared/errors.js';
import { MiB } from '../shared/units.js';
import { BufferPool } from './buffers.js';
import { CallTimes } from './call-times.js';
import type { TaskInput, TaskName, TaskOutput } from './tasks/contracts.js';
import type { TaskAnswer, TaskCall } from './thread.js';
import type { ThreadData } from './timed-io.js';

/** One buffer a step: below 512 KiB the calls cost more than the copying, above 2 MiB nothing is gained. */
export const BUFFER_LENGTH = MiB;

export interface WorkersOptions {
  readonly threads: number;
  /** Bytes of transfer buffers over everything that runs. */
  readonly bufferBytes: number;
}

/**
 * For each task Piscina describes each of its threads anew to its balancer, which costs more than to choose one. The
 * description only looks things up when it is asked, so one for the life of a thread says the same.
 */
function keepDescription(description: object): void {
  for (const key of Object.getOwnPropertySymbols(description)) {
    const thread = Reflect.get(description, key) as object | null;
    if (typeof thread === 'object' && thread !== null && 'interface' in thread) {
      Object.defineProperty(thread, 'interface', { value: description });
    }
  }
}

export class Workers {
  readonly buffers: BufferPool;
  /** How long the native calls of all threads took. */
  readonly callTimes = new CallTimes();
  readonly #pool: Piscina<TaskCall<TaskName>, TaskAnswer<TaskName>>;
  readonly #running = new Set<Promise<unknown>>();
  #sharers = 0;
  #closed = false;

  constructor(readonly options: WorkersOptions) {
    this.buffers = new BufferPool(BUFFER_LENGTH, Math.max(1, Math.floor(options.bufferBytes / BUFFER_LENGTH)));
    this.#pool = new Piscina({
      filename: new URL('./entry.cjs', import.meta.url).href,
      // All at once: a job should not wait for threads to start, and an idle one costs no time.
      minThreads: options.threads,
      maxThreads: options.threads,
      // Steps of one job keep their order, so that the target is written front to back.
      stricterFIFO: true,
      // The pool must never end a thread by itself while a system call runs on it.
      closeTimeout: 2 ** 31 - 1,
      recordTiming: false,
      workerData: { callTimes: this.callTimes.memory } satisfies ThreadData,
    });
    this.#pool.on('workerCreate', keepDescription);
  }

  /**
   * Runs one task on a thread; waits for a free one when all are busy.
   * @throws FerryError what the task threw; INTERNAL when its thread broke
   */
  async run<N extends TaskName>(name: N, input: TaskInput<N>): Promise<TaskOutput<N>> {
    if (this.#closed) throw new FerryError('INTERRUPTED', 'The node is shutting down');
    const running = this.#pool.run({ name, input } as TaskCall<TaskName>);
    this.#running.add(running);
    try {
      const answer = (await running) as TaskAnswer<N>;
      if ('error' in answer) throw FerryError.fromWire(answer.error);
      return answer.value;
    } catch (thrown) {
      throw asFerryError(thrown);
    } finally {
      this.#running.delete(running);
    }
  }

  /** Resolves when threads have loaded their code: a job that comes earlier would wait for that. */
  async ready(): Promise<void> {
    await Promise.all(Array.from({ length: this.options.threads }, () => this.run('close', { handles: [] })));
  }

  /** Whoever keeps many tasks in flight takes part in sharing the threads. @returns call once it is over */
  readonly join = (): (() => void) => {
    this.#sharers += 1;
    let left = false;
    return () => {
      if (!left) this.#sharers -= 1;
      left = true;
    };
  };

  /** Threads for each of those that share them now. One is left to short tasks, which would wait behind steps. */
  get share(): number {
    return Math.max(1, Math.ceil((this.options.threads - 1) / Math.max(1, this.#sharers)));
  }

  get busyThreads(): number {
    return this.#running.size - this.waitingTasks;
  }

  /** Tasks that wait for a thread. */
  get waitingTasks(): number {
    return this.#pool.queueSize;
  }

  /**
   * Takes no new tasks, waits for every one that runs, then ends the threads. Whoever wants this to be
   * quick stops the jobs first, through their control blocks.
   */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#running);
    await this.#pool.close();
  }
}
