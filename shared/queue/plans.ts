/**
 * Dry runs over the queue: the API asks, a node that can see the storage answers. The same whether both
 * are one process or many. Nothing is kept: a request that nobody picked up in time is withdrawn.
 * Errors travel as data in the answer, because BullMQ keeps only the text of a thrown one.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ConnectionOptions, Job } from 'bullmq';
import type { Redis } from 'ioredis';
import { asFerryError, FerryError, type WireError } from '../errors.js';
import type { Log } from '../log.js';
import type { JobRequest, Plan } from '../schemas/job.js';
import { Queue, QueueEvents, Worker } from './bullmq.js';
import { closeRedis, createRedis, planQueueName, QUEUE_PREFIX, queueCall } from './connection.js';
import { atMost } from './patience.js';

interface PlanQuestion {
  readonly request: JobRequest;
  /** ms since the epoch; later nobody listens. */
  readonly deadline: number;
}
type PlanAnswer = { readonly plan: Plan } | { readonly error: WireError };
type PlanJob = Job<PlanQuestion, PlanAnswer>;

const ANSWER_TIMEOUT_MS = 15_000;
// Answers stay this long, so that a client whose event was late still finds its answer.
const KEEP_SECONDS = 60;
const CLOSE_PATIENCE_MS = 1000;
// Planning maps the whole source: a few at once, so that dry runs never crowd out real jobs.
const CONCURRENCY = 2;

export interface PlanClientOptions {
  readonly redisUrl: string;
  readonly log: Log;
  readonly timeoutMs?: number;
}

interface PlanQueue {
  readonly queue: Queue<PlanQuestion, PlanAnswer>;
  readonly events: QueueEvents;
}

export class PlanClient {
  readonly #options: PlanClientOptions;
  readonly #log: Log;
  readonly #redis: Redis;
  readonly #eventsRedis: Redis;
  readonly #queues = new Map<string, Promise<PlanQueue>>();

  /** Connects when it is first asked. */
  constructor(options: PlanClientOptions) {
    this.#options = options;
    this.#log = options.log.child({ part: 'plans' });
    this.#redis = createRedis(options.redisUrl, 'command', 'plans');
    this.#eventsRedis = createRedis(options.redisUrl, 'blocking', 'plans-events');
  }

  /**
   * Asks a node of the request's pool what it would do.
   * @throws FerryError NODE_UNAVAILABLE   no node of that pool answered within 15 s
   * @throws FerryError QUEUE_UNAVAILABLE
   * @throws FerryError                    what the node found wrong with the request
   */
  async plan(request: JobRequest): Promise<Plan> {
    const timeoutMs = this.#options.timeoutMs ?? ANSWER_TIMEOUT_MS;
    const { queue, events } = await this.#open(request.pool);
    const question = { request, deadline: Date.now() + timeoutMs };
    const job = await queueCall(() =>
      queue.add('plan', question, {
        attempts: 1,
        removeOnComplete: { age: KEEP_SECONDS },
        removeOnFail: { age: KEEP_SECONDS },
      }),
    );
    const answer = await this.#answer(job, events, timeoutMs);
    if (answer !== null) {
      if ('plan' in answer) return answer.plan;
      throw FerryError.fromWire(answer.error);
    }
    await job.remove().catch(() => {});
    const seconds = timeoutMs / 1000;
    throw new FerryError('NODE_UNAVAILABLE', `no node of pool "${request.pool}" answered within ${seconds} s`);
  }

  async close(): Promise<void> {
    for (const opened of await Promise.allSettled(this.#queues.values())) {
      if (opened.status === 'rejected') continue;
      await atMost(CLOSE_PATIENCE_MS, opened.value.events.close());
      await atMost(CLOSE_PATIENCE_MS, opened.value.queue.close());
    }
    closeRedis(this.#redis);
    closeRedis(this.#eventsRedis);
  }

  /** @returns null when no node answered in time, or the one that took it died */
  async #answer(job: PlanJob, events: QueueEvents, timeoutMs: number): Promise<PlanAnswer | null> {
    // Bounded here as well: while Redis is away waitUntilFinished waits for it before its own clock starts.
    const stop = new AbortController();
    try {
      const late = delay(timeoutMs, null, { signal: stop.signal }).catch(() => null);
      return await Promise.race([job.waitUntilFinished(events, timeoutMs), late]);
    } catch (err) {
      this.#log.debug({ err, pool: job.queueName }, 'a plan was not answered');
      return null;
    } finally {
      stop.abort();
    }
  }

  #open(pool: string): Promise<PlanQueue> {
    let opened = this.#queues.get(pool);
    if (opened === undefined) {
      opened = this.#connect(pool);
      this.#queues.set(pool, opened);
      opened.catch(() => this.#queues.delete(pool));
    }
    return opened;
  }

  async #connect(pool: string): Promise<PlanQueue> {
    // A BullMQ queue whose first commands failed never works: so it is only made when Redis answers.
    await queueCall(() => this.#redis.ping());
    const name = planQueueName(pool);
    const queue = new Queue<PlanQuestion, PlanAnswer>(name, {
      connection: this.#redis as ConnectionOptions,
      prefix: QUEUE_PREFIX,
      streams: { events: { maxLen: 1000 } },
    });
    const events = new QueueEvents(name, {
      connection: this.#eventsRedis as ConnectionOptions,
      prefix: QUEUE_PREFIX,
      // From the beginning of the short stream: "from now" would begin only when its first read arrives,
      // and could miss an answer that is quicker than that.
      lastEventId: '0-0',
    });
    // One listener for each plan that is waited for.
    queue.setMaxListeners(0);
    const logged = (err: Error) => this.#log.debug({ err, pool }, 'plan queue');
    queue.on('error', logged);
    events.on('error', logged);
    try {
      await queueCall(() => queue.waitUntilReady());
    } catch (error) {
      await atMost(CLOSE_PATIENCE_MS, events.close());
      await atMost(CLOSE_PATIENCE_MS, queue.close());
      throw error;
    }
    return { queue, events };
  }
}

export interface ServePlansOptions {
  readonly redisUrl: string;
  readonly pools: readonly string[];
  readonly log: Log;
}

/**
 * Answers dry runs of these pools until closed. Returns at once, also while Redis is away.
 * @param handler  says what a job would do, and throws FerryErrors for what is wrong with it; touches nothing
 * @returns close(), which waits for the plans that are being made
 */
export function servePlans(
  { redisUrl, pools, log }: ServePlansOptions,
  handler: (request: JobRequest) => Promise<Plan>,
): { close(): Promise<void> } {
  const redis = createRedis(redisUrl, 'blocking', 'plans-node');
  let running = 0;
  const answer = async ({ data }: PlanJob): Promise<PlanAnswer> => {
    running++;
    try {
      return await plan(data);
    } finally {
      running--;
    }
  };
  const plan = async (data: PlanQuestion): Promise<PlanAnswer> => {
    if (Date.now() > data.deadline) {
      return { error: new FerryError('NODE_UNAVAILABLE', 'the request for a plan came too late').toWire() };
    }
    try {
      return { plan: await handler(data.request) };
    } catch (thrown) {
      const error = asFerryError(thrown);
      if (error.code === 'INTERNAL') log.error({ err: thrown }, 'planning failed unexpectedly');
      return { error: error.toWire() };
    }
  };
  const workers = pools.map((pool) => {
    const worker = new Worker<PlanQuestion, PlanAnswer>(planQueueName(pool), answer, {
      connection: redis as ConnectionOptions,
      prefix: QUEUE_PREFIX,
      concurrency: CONCURRENCY,
    });
    worker.on('error', (err) => log.debug({ err, pool }, 'plan worker'));
    return worker;
  });
  return {
    async close() {
      // A plan may take as long as somebody waits for it; without Redis its answer would reach nobody.
      const connected = redis.status === 'ready';
      const patienceMs = connected && running > 0 ? ANSWER_TIMEOUT_MS : CLOSE_PATIENCE_MS;
      await Promise.all(workers.map((worker) => atMost(patienceMs, worker.close(!connected))));
      closeRedis(redis);
    },
  };
}
