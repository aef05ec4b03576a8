/** Medians, spreads and ratios of one case: a workload on a kind of target. Times are milliseconds. */
import type { Role } from './contestants.js';

export interface Sample {
  readonly ms: number;
  readonly round: number;
  /** What the targets take of their file system after it; null: it was stopped. */
  readonly allocatedBytes: number | null;
  readonly details?: unknown;
}

export interface Series {
  readonly name: string;
  readonly role: Role;
  readonly how: string;
  readonly samples: Sample[];
  /** Why it has no time, or no more. */
  leftOut?: string;
}

export interface CaseResult {
  readonly workload: string;
  readonly target: string;
  readonly title: string;
  readonly series: readonly Series[];
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export interface Summary {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** @returns null for one without a time */
export function summarize({ samples, leftOut }: Series): Summary | null {
  if (samples.length === 0 || leftOut !== undefined) return null;
  const times = samples.map(({ ms }) => ms);
  return { median: median(times), least: Math.min(...times), most: Math.max(...times) };
}

/** The one with the smallest median, of a role and, where given, of that name. */
export function fastest(result: CaseResult, role: Role, name?: string): { name: string; median: number } | null {
  let best: { name: string; median: number } | null = null;
  for (const series of result.series) {
    if (series.role !== role || (name !== undefined && series.name !== name)) continue;
    const summary = summarize(series);
    if (summary !== null && (best === null || summary.median < best.median)) {
      best = { name: series.name, median: summary.median };
    }
  }
  return best;
}
