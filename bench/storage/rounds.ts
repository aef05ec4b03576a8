/**
 * One case: a workload on a kind of target. Contestants take turns, A B C A B C …, beginning with another one each
 * round, so that what the machine does meanwhile meets all of them. Before each run the target is brought into the same
 * state; after it the target is compared with the source, and one wrong byte ends everything.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { formatBytes, GiB } from '../../shared/units.js';
import type { Contestant, Task } from './contestants.js';
import { ENGINE, startOurs } from './ferry.js';
import type { Home } from './file-systems.js';
import { writeImage } from './image.js';
import { holesBetween } from './layout.js';
import { chooseMarkers } from './markers.js';
import { floorFor, peersFor } from './peers.js';
import { waitUntilQuiet } from './quiet.js';
import { availableMemory, type Stage, within } from './stage.js';
import type { CaseResult, Sample, Series } from './statistics.js';
import { allocatedBytes, kindOf, makeTargets, resetTarget, type TargetName } from './targets.js';
import { findDifference, findStale } from './verify.js';
import type { Workload } from './workloads.js';

export interface Rules {
  readonly rounds: number;
  readonly seed: number;
  /** A peer that takes longer is left out. */
  readonly limitMs: number;
  /** The compiled program. */
  readonly floor: string;
  tell(line: string): void;
}

/** @returns null where this machine cannot; `rules.tell` has said why */
export async function measureCase(
  workload: Workload,
  target: TargetName,
  rules: Rules,
  stage: Stage,
): Promise<CaseResult | null> {
  const kind = kindOf(target);
  const { letter, title, size, data, race } = workload;
  if (kind.on === 'tmpfs' && (await availableMemory()) < size * 1.1 + 2 * GiB) {
    rules.tell(`(${letter}) ${target}: left out, there is too little memory for ${formatBytes(size)} of it`);
    return null;
  }
  return await within(stage, `(${letter}) on ${target}`, async (part) => {
    const { targets, home } = await makeTargets(target, workload, part);
    const source = data === null ? null : join(race.type === 'reflink' ? home.path : stage.directory, 'source.img');
    const zeroes = workload.content === 'zeroes' ? [{ start: 0, length: size }] : holesBetween(data ?? [], size);
    if (source !== null && data !== null) {
      part.cleanup.add(source, () => rm(source));
      const content = workload.content === 'zeroes' ? 'zeroes' : rules.seed;
      await writeImage({ path: source, size, data, zeroes }, content, part.signal);
    }
    const roots = [
      home.path,
      ...(source === null ? [] : [source]),
      ...(kind.device ? targets.map(({ path }) => path) : []),
    ];
    const ours = await startOurs(roots, part);
    const task: Task = { source, targets, target, kind };
    const markers = chooseMarkers(zeroes, rules.seed);
    // In the data as well: what is there from before must not pass for a copy.
    const stale = [...markers, ...(workload.content === 'zeroes' ? [] : chooseMarkers(data ?? [], rules.seed + 1))];
    const arena: Arena = { task, home, size, markers, stale, rules, stage: part };

    // Once without being timed: a service that runs has run before, and its code is compiled.
    await runOnce(ours, arena);
    const contestants = [ours, ...peersFor(race, kind, rules.floor)];
    const series = new Map(contestants.map(({ name, role, how }) => [name, newSeries(name, role, how)]));
    const engine = newSeries(ENGINE, 'engine', 'the same runs, as the record of the job tells them');
    for (let round = 0; round < rules.rounds; round += 1) {
      rules.tell(`   (${letter}) ${target}: round ${round + 1} of ${rules.rounds}`);
      for (let i = 0; i < contestants.length; i += 1) {
        const contestant = contestants[(i + round) % contestants.length] as Contestant;
        const own = series.get(contestant.name) as Series;
        if (own.leftOut !== undefined) continue;
        await measureOnce(contestant, own, engine, round, arena);
      }
    }
    const [first, ...others] = series.values();
    const all = [first as Series, engine, ...others];
    return { workload: letter, target, title, series: all };
  });
}

interface Arena {
  readonly task: Task;
  readonly home: Home;
  readonly size: number;
  /** Must read as zeroes afterwards. */
  readonly markers: readonly number[];
  /** Old bytes before each run: there, and in what is copied. */
  readonly stale: readonly number[];
  readonly rules: Rules;
  readonly stage: Stage;
}

async function measureOnce(
  contestant: Contestant,
  series: Series,
  engine: Series,
  round: number,
  arena: Arena,
): Promise<void> {
  const { rules, stage } = arena;
  try {
    const { engineMs, ...sample } = await runOnce(contestant, arena);
    series.samples.push({ ...sample, round });
    if (engineMs !== undefined) engine.samples.push({ ...sample, ms: engineMs, round, details: undefined });
  } catch (cause) {
    stage.signal.throwIfAborted();
    // A peer may fail or be slow. A wrong copy is nobody's to make, and ours must work.
    if (contestant.role !== 'peer' || cause instanceof WrongCopy) throw cause;
    const slow = (cause as Error).name === 'TimeoutError' || (cause as Error).name === 'AbortError';
    // Once quick enough, it stays: were it left out for one slow run, that run would do us a favour.
    if (slow && series.samples.length > 0) series.samples.push({ ms: rules.limitMs, round, allocatedBytes: null });
    else series.leftOut = slow ? `more than ${rules.limitMs / 1000} s` : (cause as Error).message;
  }
}

type Outcome = Omit<Sample, 'round'> & { readonly engineMs?: number };

async function runOnce(contestant: Contestant, arena: Arena): Promise<Outcome> {
  const { task, markers, stale, rules, stage } = arena;
  const { signal } = stage;
  const startedMs = performance.now();
  await arena.home.trim();
  const filler = floorFor(task.kind, rules.floor);
  for (const target of task.targets) {
    const writeData = async () => {
      if (task.source !== null) await filler.run({ ...task, targets: [target] }, signal);
    };
    await resetTarget(task.target, target, stale, writeData, signal);
  }
  await waitUntilQuiet(signal);
  const limit = contestant.role === 'peer' ? AbortSignal.any([signal, AbortSignal.timeout(rules.limitMs)]) : signal;
  const preparedMs = performance.now();
  const run = await contestant.run(task, limit);
  const ranMs = performance.now();
  let allocated = 0;
  for (const target of task.targets) {
    const difference =
      (await findDifference(task.source, target.storage, arena.size, signal)) ??
      (await findStale(target.path, markers));
    if (difference !== null)
      throw new WrongCopy(`${contestant.name} made a wrong copy on ${target.path}: ${difference}`);
    allocated += await allocatedBytes(target);
  }
  const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;
  const around = [preparedMs - startedMs, performance.now() - ranMs].map(seconds);
  rules.tell(`     ${contestant.name}: ${seconds(run.ms)} (prepared in ${around[0]}, verified in ${around[1]})`);
  return { ...run, allocatedBytes: allocated };
}

/** A contestant said that it was done, and the target is not what it must be. */
class WrongCopy extends Error {}

function newSeries(name: string, role: Series['role'], how: string): Series {
  return { name, role, how, samples: [] };
}
