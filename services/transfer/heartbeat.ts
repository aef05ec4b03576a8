/** Says every few seconds that this node is there, what it serves and how busy it is (`GET /v1/nodes`). */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { Config } from '../../shared/config.js';
import type { Log } from '../../shared/log.js';
import type { JobStore } from '../../shared/queue/job-store.js';
import { BEAT_MS } from '../../shared/queue/nodes.js';
import { atMost } from '../../shared/queue/patience.js';
import type { NodeReport } from '../../shared/schemas/node.js';
import type { Workers } from '../../workers/pool.js';

/** What a node that must go gives Redis. */
const LAST_WORDS_MS = 1000;

export interface HeartbeatOptions {
  readonly config: Config;
  readonly version: string;
  readonly workers: Workers;
  /** Jobs that run now. */
  readonly running: ReadonlyMap<string, { readonly bytesPerSecond: number }>;
  readonly jobs: Pick<JobStore, 'beat'>;
  readonly log: Log;
}

export class Heartbeat {
  readonly #instance = randomUUID();
  readonly #startedAt = new Date().toISOString();
  readonly #delay: IntervalHistogram = monitorEventLoopDelay({ resolution: 10 });
  #state: NodeReport['state'] = 'up';
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: HeartbeatOptions) {}

  async start(): Promise<void> {
    this.#delay.enable();
    await this.#beat();
    this.#timer = setInterval(() => void this.#beat(), BEAT_MS);
    this.#timer.unref();
  }

  /** Says it at once, and from now on. */
  async say(state: NodeReport['state']): Promise<void> {
    this.#state = state;
    await atMost(LAST_WORDS_MS, this.#beat());
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#delay.disable();
    await this.say('stopped');
  }

  async #beat(): Promise<void> {
    const { jobs, log } = this.options;
    try {
      const before = await jobs.beat(this.#report());
      if (before !== null && before !== this.#instance && this.#state === 'up') {
        log.info('another process had this node name before; if it still runs, rename one');
      }
    } catch (err) {
      log.debug({ err }, 'the queue server did not hear that this node is there');
    }
  }

  #report(): NodeReport {
    const { config, version, workers, running } = this.options;
    let bytesPerSecond = 0;
    for (const job of running.values()) bytesPerSecond += job.bytesPerSecond;
    const p99Ms = this.#delay.percentile(99) / 1e6;
    this.#delay.reset();
    return {
      name: config.nodeName,
      instance: this.#instance,
      version,
      host: hostname(),
      pid: process.pid,
      state: this.#state,
      pools: [...config.pools],
      concurrency: config.concurrency,
      threads: config.threads,
      bandwidthBytesPerSecond: config.bandwidthBytesPerSecond,
      load: {
        jobs: running.size,
        busyThreads: Math.max(0, workers.busyThreads),
        bytesPerSecond,
        eventLoopDelayP99Ms: Number.isFinite(p99Ms) ? Math.round(p99Ms * 100) / 100 : 0,
      },
      startedAt: this.#startedAt,
    };
  }
}
