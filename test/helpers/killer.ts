/**
 * Kills parts of a cluster at random moments and starts them again, and keeps count of what was hit. The choices
 * follow from a seed; when they meet which system call does not.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Cluster } from './cluster.js';
import type { Seeded } from './seeded.js';

/** What dies at once; what stands here more often is chosen more often. */
const EVENTS = ['node', 'node', 'node', 'node', 'nodes', 'api', 'redis', 'redis', 'all'] as const;
/** Between the return of the last victims and the next kill. */
const RUN_MS = [200, 1200] as const;
/** Shorter than a lease, or longer: then another node takes over. */
const SHORT_MS = [0, 300] as const;
const LONG_MS = [1600, 2200] as const;

export class Killer {
  /** Processes killed, by victim. */
  readonly kills: Record<string, number> = {};
  /** Jobs that the victim ran or that ran while it died, by victim and phase. */
  readonly hits: Record<string, Record<string, number>> = {};

  constructor(
    private readonly cluster: Cluster,
    private readonly seeded: Seeded,
  ) {}

  get total(): number {
    return Object.values(this.kills).reduce((sum, count) => sum + count, 0);
  }

  /** Waits a while, kills something, waits again, and starts it: everything runs when this resolves. */
  async once(): Promise<void> {
    const { cluster, seeded } = this;
    await delay(seeded.between(...RUN_MS));
    const victims = this.#choose();
    await this.#note(victims);
    await Promise.all(victims.map((victim) => (victim === 'redis' ? cluster.redis.kill() : cluster.kill(victim))));
    const [least, most] = seeded.below(10) < 7 ? SHORT_MS : LONG_MS;
    await delay(seeded.between(least, most));
    if (victims.includes('redis')) await cluster.redis.start();
    await Promise.all(victims.filter((name) => name !== 'redis').map((name) => cluster.startProgram(name)));
  }

  #choose(): readonly string[] {
    const { cluster, seeded } = this;
    const victims = seeded.pick(EVENTS);
    if (victims === 'node') return [seeded.pick(cluster.nodes)];
    if (victims === 'nodes') return cluster.nodes;
    return victims === 'all' ? ['redis', ...cluster.parts] : [victims];
  }

  async #note(victims: readonly string[]): Promise<void> {
    const active = await this.cluster.active();
    for (const victim of victims) {
      this.kills[victim] = (this.kills[victim] ?? 0) + 1;
      const isNode = this.cluster.nodes.includes(victim);
      const phases = this.hits[victim] ?? {};
      for (const { node, phase } of active) {
        if (phase !== null && (!isNode || node === victim)) phases[phase] = (phases[phase] ?? 0) + 1;
      }
      this.hits[victim] = phases;
    }
  }
}
