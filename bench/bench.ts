/**
 * `npm run bench`: how fast is imageferry, beside the programs that people use today and beside the floor? All in one
 * run, in turn, each copy verified. Prints tables; writes results.json, results.md and chart.svg. What is timed and how
 * to read it: docs/performance.md. Leaves nothing behind but the results.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Cleanup } from '../scripts/demo/cleanup.js';
import { GiB } from '../shared/units.js';
import { type Figures, figureSheet, serviceFigures } from './service/figures.js';
import { drawChart } from './storage/chart.js';
import { judge } from './storage/goals.js';
import { describeMachine } from './storage/machine.js';
import { type Options, readOptions, SERVICE, USAGE } from './storage/options.js';
import { caseSheet, goalsSheet, type Heading, markdownReport, toTerminal } from './storage/report.js';
import { measureCase, type Rules } from './storage/rounds.js';
import { buildFloor, makeDirectory, type Stage } from './storage/stage.js';
import type { CaseResult } from './storage/statistics.js';
import { makeWorkloads } from './storage/workloads.js';

const QUICK_SCALE = 8;
/** Ours takes seconds: whoever takes so long has been compared enough. */
const PEER_LIMIT_MS = 60_000;

const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => interrupted.abort(new Error(`interrupted (${name})`)));
}
const cleanup = new Cleanup();
try {
  const options = readOptions(process.argv.slice(2));
  if (options.help) console.log(USAGE);
  else await main(options);
} catch (thrown) {
  const cause = interrupted.signal.aborted ? interrupted.signal.reason : thrown;
  console.error(`bench: ${(cause as Error).message}`);
  process.exitCode = interrupted.signal.aborted ? 130 : 1;
} finally {
  for (const left of await cleanup.run()) {
    console.error(`bench: could not clean up ${left}`);
    process.exitCode ||= 1;
  }
}

async function main(options: Options): Promise<void> {
  const { signal } = interrupted;
  const scale = options.quick ? QUICK_SCALE : 1;
  if (process.getuid?.() !== 0) throw new Error('loop devices and file systems need root');
  const directory = await makeDirectory(cleanup, (24 * GiB) / scale + GiB);
  const stage: Stage = { directory, cleanup, signal };
  const heading: Heading = {
    date: new Date().toISOString(),
    seed: options.seed,
    rounds: options.rounds,
    quick: options.quick,
    machine: await describeMachine(signal),
  };
  await mkdir(options.out, { recursive: true });
  const results: CaseResult[] = [];
  const rules: Rules = {
    rounds: options.rounds,
    seed: options.seed,
    limitMs: PEER_LIMIT_MS,
    floor: await buildFloor(stage),
    tell: (line) => console.error(line),
  };
  for (const workload of makeWorkloads(scale, options.seed).filter(({ letter }) => options.only.has(letter))) {
    for (const target of options.quick && options.targets === null ? workload.quickTargets : workload.targets) {
      if (options.targets !== null && !options.targets.has(target)) continue;
      const result = await measureCase(workload, target, rules, stage);
      if (result === null) continue;
      results.push(result);
      console.log(toTerminal(caseSheet(result)));
      // After each: a run that is interrupted has told what it knew.
      await write(options.out, heading, results);
    }
  }
  if (options.only.has(SERVICE)) {
    const figures = await serviceFigures({ ...stage, quick: options.quick });
    console.log(toTerminal(figureSheet(figures)));
    await write(options.out, heading, results, figures);
  }
  const verdicts = judge(results);
  if (verdicts.length > 0) console.log(toTerminal(goalsSheet(verdicts)));
  console.log(`\nresults.json, results.md and chart.svg are in ${options.out}`);
}

async function write(
  out: string,
  heading: Heading,
  results: readonly CaseResult[],
  service: Figures | null = null,
): Promise<void> {
  const goals = judge(results);
  const json = JSON.stringify({ ...heading, results, goals, service }, null, 2);
  await writeFile(join(out, 'results.json'), `${json}\n`);
  await writeFile(
    join(out, 'results.md'),
    markdownReport(heading, results, goals, service === null ? [] : [figureSheet(service)]),
  );
  const title = `imageferry ${heading.machine.commit}, ${heading.date.slice(0, 10)}: seconds, less is better`;
  await writeFile(join(out, 'chart.svg'), drawChart(title, results));
}
