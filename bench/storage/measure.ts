/** Rounds: every contestant once, then all again, so that what the machine does meanwhile meets all of them. */
import type { JobResult } from '../../shared/schemas/job.js';
import { firstDifference, firstNonZero } from './check.js';
import type { Contestant } from './contestants.js';
import { type Image, warm } from './images.js';
import type { Ours } from './ours.js';
import type { BenchTarget } from './targets.js';

export interface Timing {
  readonly name: string;
  readonly role: Contestant['role'] | 'engine';
  readonly how: string;
  /** One a round, in order. */
  readonly ms: number[];
}

export interface Measured {
  readonly workload: string;
  readonly target: string;
  readonly timings: readonly Timing[];
  /** Who did not take part, and why. */
  readonly leftOut: readonly string[];
  /** Of our last run. */
  readonly result: JobResult | null;
}

export interface Match {
  readonly workload: string;
  readonly target: string;
  /** null: targets are zeroed. */
  readonly image: Image | null;
  readonly targets: readonly BenchTarget[];
  readonly ours: Ours;
  readonly others: readonly Contestant[];
  readonly leftOut?: readonly string[];
}

const NO_IMAGE: Image = { path: '', size: 0, data: new Float64Array() };

/**
 * @param say  told of each run
 * @throws Error  a tool failed, or what it left is not its source
 */
export async function measure(match: Match, rounds: number, say: (line: string) => void): Promise<Measured> {
  const { ours } = match;
  const contestants = [ours.contestant, ...match.others];
  const timings = contestants.map(({ name, role, how }): Timing => ({ name, role, how, ms: [] }));
  const engine: Timing = {
    name: 'imageferry, engine',
    role: 'engine',
    how: 'the job alone, without the queue',
    ms: [],
  };
  // A service runs for months: it is measured warm. The round does not count.
  await once(ours.contestant, match, 0);
  for (let round = 1; round <= rounds; round += 1) {
    for (const [at, contestant] of contestants.entries()) {
      const ms = await once(contestant, match, round);
      timings[at]?.ms.push(ms);
      if (contestant === ours.contestant) engine.ms.push(ours.last().engineMs);
      say(
        `${match.workload} ${match.target} round ${round}: ${contestant.name} ${contestant.how}: ${Math.round(ms)} ms`,
      );
    }
  }
  const { workload, target, leftOut = [] } = match;
  return { workload, target, timings: [...timings, engine], leftOut, result: ours.last().results.at(-1) ?? null };
}

async function once(contestant: Contestant, { image, targets }: Match, round: number): Promise<number> {
  for (const target of targets) await target.reset(round);
  if (image !== null) warm(image);
  const ms = await contestant.copy(image ?? NO_IMAGE, targets);
  for (const { backing, size, path } of targets) {
    const wrong = image === null ? firstNonZero(backing, size) : firstDifference(image, backing, size);
    if (wrong !== null) throw new Error(`${contestant.name} ${contestant.how}: ${path} is wrong at byte ${wrong}`);
  }
  return ms;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1
    ? (sorted[half] as number)
    : ((sorted[half - 1] as number) + (sorted[half] as number)) / 2;
}

/** The quickest peer; null: none took part. */
export function fastestPeer({ timings }: Pick<Measured, 'timings'>): Timing | null {
  const peers = timings.filter(({ role }) => role === 'peer');
  return peers.reduce<Timing | null>(
    (best, peer) => (best === null || median(peer.ms) < median(best.ms) ? peer : best),
    null,
  );
}

export function ofRole({ timings }: Pick<Measured, 'timings'>, role: Timing['role']): Timing | null {
  return timings.find((timing) => timing.role === role) ?? null;
}
