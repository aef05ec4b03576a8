/** What imageferry is to reach, as ratios of medians within one run, and whether it did. */
import { type CaseResult, fastest } from './statistics.js';

interface Goal {
  readonly workload: string;
  readonly what: string;
  /** Default: every target that was measured. */
  readonly target?: string;
  readonly against: 'peer' | 'floor';
  /** Default: the fastest. */
  readonly name?: string;
  readonly atMost: number;
}

const GOALS: readonly Goal[] = [
  { workload: 'a', target: 'loop-ext4', what: 'one import, zeroing is cheap', against: 'peer', atMost: 0.6 },
  { workload: 'a', target: 'loop-ext4', what: 'one import, zeroing is cheap', against: 'floor', atMost: 1.1 },
  { workload: 'a', target: 'loop-tmpfs', what: 'one import, zeroing writes', against: 'peer', atMost: 1 },
  { workload: 'b', what: 'ten at once', against: 'peer', atMost: 0.8 },
  { workload: 'b', what: 'ten at once', against: 'floor', atMost: 1.1 },
  { workload: 'c', what: 'dense', against: 'peer', atMost: 1 },
  { workload: 'c', what: 'dense', against: 'floor', atMost: 1.1 },
  { workload: 'd', what: 'zeroes', against: 'peer', atMost: 0.8 },
  { workload: 'e', what: 'large and sparse', against: 'peer', atMost: 0.7 },
  { workload: 'f', what: 'zero', against: 'peer', atMost: 1.1 },
  { workload: 'r', what: 'reflink', against: 'peer', name: 'cp --reflink', atMost: 2 },
];

export interface Verdict {
  readonly workload: string;
  readonly what: string;
  readonly target: string;
  /** Whom it is measured against, by name. */
  readonly against: string;
  readonly atMost: number;
  /** null: one of the two has no time. */
  readonly measured: number | null;
  readonly met: boolean;
}

/** One verdict a goal and measured target. */
export function judge(results: readonly CaseResult[]): Verdict[] {
  return GOALS.flatMap((goal) =>
    results
      .filter(({ workload, target }) => workload === goal.workload && target === (goal.target ?? target))
      .map((result) => verdict(goal, result)),
  );
}

function verdict({ workload, what, against, name, atMost }: Goal, result: CaseResult): Verdict {
  const ours = fastest(result, 'ours');
  const other = fastest(result, against, name);
  const measured = ours === null || other === null ? null : ours.median / other.median;
  const met = measured !== null && measured <= atMost;
  return { workload, what, target: result.target, against: other?.name ?? name ?? against, atMost, measured, met };
}
