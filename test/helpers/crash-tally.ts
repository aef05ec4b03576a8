/** What became of the jobs of a crash test, in numbers that a person reads. */
import type { JobView } from '../../shared/schemas/job.js';
import type { Cluster } from './cluster.js';
import type { Killer } from './killer.js';

const MiB = 1024 * 1024;

export class CrashTally {
  batches = 0;
  /** Completed jobs that did not do again what an earlier attempt had done. */
  resumedJobs = 0;
  #completed = 0;
  #resumedBytes = 0;
  readonly #failures: Record<string, number> = {};

  completed({ result }: JobView): void {
    this.#completed += 1;
    this.#resumedBytes += result?.resumedBytes ?? 0;
    if (result !== undefined && result.resumedBytes > 0) this.resumedJobs += 1;
  }

  failed({ error }: JobView): void {
    const code = error?.code ?? 'no code';
    this.#failures[code] = (this.#failures[code] ?? 0) + 1;
  }

  report(seed: number, cluster: Cluster, { kills, hits }: Killer): string {
    const { attempts, takeovers } = countAttempts(cluster);
    const resumed = `${this.resumedJobs} resumed (${Math.round(this.#resumedBytes / MiB)} MiB not done again)`;
    return [
      `seed ${seed}: kills of ${JSON.stringify(kills)}, while so many jobs were in a phase:`,
      ...Object.entries(hits).map(([victim, phases]) => `  ${victim} ${JSON.stringify(phases)}`),
      `${this.#completed} jobs completed, ${this.batches} batches, ${attempts} attempts, ${takeovers} takeovers, ${resumed}`,
      `failed for now: ${JSON.stringify(this.#failures)}`,
    ]
      .map((line) => `      ${line}`)
      .join('\n');
  }
}

/** A takeover is an attempt on another node than the one before. */
function countAttempts(cluster: Cluster): { attempts: number; takeovers: number } {
  const starts = cluster.nodeLog().filter(({ msg }) => msg === 'started' || msg === 'taken over');
  starts.sort((a, b) => Number(a.attempt) - Number(b.attempt));
  const lastNode = new Map<unknown, unknown>();
  let takeovers = 0;
  for (const { job, node } of starts) {
    if (lastNode.has(job) && lastNode.get(job) !== node) takeovers += 1;
    lastNode.set(job, node);
  }
  return { attempts: starts.length, takeovers };
}
