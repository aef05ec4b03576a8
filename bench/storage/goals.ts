/** What the project wants to reach, as ratios of medians within one run. A goal that is missed stays in the table. */
import { fastestPeer, type Measured, median, ofRole } from './measure.js';

interface Goal {
  readonly workload: string;
  readonly target?: string;
  readonly words: string;
  readonly against: 'peer' | 'floor';
  readonly most: number;
}

export const GOALS: readonly Goal[] = [
  { workload: 'a', target: 'loop-ext4', words: 'one import, cheap-zero device', against: 'peer', most: 0.6 },
  { workload: 'a', target: 'loop-ext4', words: 'one import, cheap-zero device', against: 'floor', most: 1.1 },
  { workload: 'a', target: 'loop-tmpfs', words: 'one import, zeroing-writes device', against: 'peer', most: 1.0 },
  { workload: 'b', words: 'ten at once', against: 'peer', most: 0.8 },
  { workload: 'b', words: 'ten at once', against: 'floor', most: 1.1 },
  { workload: 'c', words: 'dense', against: 'peer', most: 1.0 },
  { workload: 'c', words: 'dense', against: 'floor', most: 1.1 },
  { workload: 'd', words: 'zeroes', against: 'peer', most: 0.8 },
  { workload: 'e', words: '1 TiB sparse', against: 'peer', most: 0.7 },
  { workload: 'f', words: 'zero', against: 'peer', most: 1.1 },
  { workload: 'r', words: 'same file system with reflink, against cp --reflink', against: 'peer', most: 2 },
];

export interface GoalLine {
  readonly workload: string;
  readonly target: string;
  readonly words: string;
  readonly against: string;
  readonly most: number;
  readonly ratio: number;
  readonly met: boolean;
}

/** A line for each goal and each target that it was measured on. */
export function judge(all: readonly Measured[]): GoalLine[] {
  return GOALS.flatMap(({ workload, target, words, against, most }) =>
    all
      .filter((measured) => measured.workload === workload && (target === undefined || measured.target === target))
      .flatMap((measured) => {
        const other = against === 'floor' ? ofRole(measured, 'floor') : fastestPeer(measured);
        const ours = ofRole(measured, 'ours');
        if (other === null || ours === null) return [];
        const ratio = median(ours.ms) / median(other.ms);
        const name = against === 'floor' ? 'floor' : `${other.name} ${other.how}`;
        return [{ workload, target: measured.target, words, against: name, most, ratio, met: ratio <= most }];
      }),
  );
}
