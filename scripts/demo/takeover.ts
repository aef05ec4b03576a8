/**
 * The middle of the batch demo: kills a node in the middle of its disks, watches who takes them over, and then lifts
 * their bandwidth limits. Goes by what the API says, never by time.
 */
import { performance } from 'node:perf_hooks';
import type { ApiClient } from '../../services/cli/api-client.js';
import type { JobView } from '../../shared/schemas/job.js';
import type { Server } from './ferry.js';

export interface TakeoverEvents {
  /** @param disks  what it was in the middle of */
  killed(node: string, pid: number, disks: readonly JobView[]): void;
  takenOver(disks: readonly JobView[], afterMs: number): void;
  /** None of its disks is left to the dead node. */
  allTakenOver(): void;
}

/** So many disks of a node must be ripe, so that there is something to take over. */
const RIPE_DISKS = 2;
/** Of its data, this share must be durable. */
const RIPE_SHARE = 0.4;
const MOST = 1000;

export class Takeover {
  private stage: 'before' | 'killed' | 'over' = 'before';
  private killedAt = 0;
  private victim = '';
  /** Ids of the victim's disks that nobody has taken over yet. */
  private readonly orphans = new Set<string>();
  private looking = false;

  constructor(
    private readonly client: ApiClient,
    private readonly batch: string,
    private readonly nodes: ReadonlyMap<string, Server>,
    private readonly events: TakeoverEvents,
  ) {}

  /** The batch has changed. One look at a time: the next change brings the next one. */
  async look(): Promise<void> {
    if (this.looking || this.stage === 'over') return;
    this.looking = true;
    try {
      const { jobs } = await this.client.list({ batch: this.batch, limit: MOST });
      if (this.stage === 'before') this.killWhenRipe(jobs);
      else await this.watch(jobs);
    } finally {
      this.looking = false;
    }
  }

  /** @throws Error when the batch ended without what the demo is about */
  check(): void {
    if (this.stage === 'before') throw new Error('the batch ended before a node could be killed');
    if (this.orphans.size > 0) throw new Error(`${this.orphans.size} disks of ${this.victim} were not taken over`);
  }

  private killWhenRipe(jobs: readonly JobView[]): void {
    for (const [name, { child }] of this.nodes) {
      const running = jobs.filter((job) => job.state === 'active' && job.node === name);
      if (running.filter(isRipe).length < RIPE_DISKS || child.pid === undefined) continue;
      process.kill(child.pid, 'SIGKILL');
      this.killedAt = performance.now();
      this.victim = name;
      this.stage = 'killed';
      for (const { id } of running) this.orphans.add(id);
      this.events.killed(name, child.pid, running);
      return;
    }
  }

  private async watch(jobs: readonly JobView[]): Promise<void> {
    // One that had ended just before the kill needs nobody.
    const found = jobs.filter((job) => this.orphans.has(job.id) && (job.node !== this.victim || job.endedAt !== null));
    for (const { id } of found) this.orphans.delete(id);
    const taken = found.filter((job) => job.node !== this.victim);
    if (taken.length > 0) this.events.takenOver(taken, performance.now() - this.killedAt);
    if (this.orphans.size > 0) return;
    this.stage = 'over';
    this.events.allTakenOver();
    const left = jobs.filter((job) => job.endedAt === null);
    // One may end just now, which is as good.
    await Promise.allSettled(left.map((job) => this.client.change(job.id, { bandwidthBytesPerSecond: null })));
  }
}

/** In the middle: much of its data is durable (zeroes come first, and cost nothing), and something is left to do. */
function isRipe({ phase, progress }: JobView): boolean {
  if (phase !== 'copying' || progress === null) return false;
  const { durableBytes, zeroBytes, dataBytes, doneBytes, totalBytes } = progress;
  return durableBytes - zeroBytes > dataBytes * RIPE_SHARE && doneBytes < totalBytes;
}
