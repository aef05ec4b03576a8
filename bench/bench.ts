/**
 * `npm run bench`: imageferry beside dd, qemu-img, nbdcopy, cp and the floor, onto devices and files, interleaved in one
 * run, every copy verified; then what the service itself costs. How and why: docs/performance.md.
 *   --quick               a smaller version: images 8 times smaller, 2 rounds, fewer targets
 *   --rounds N            default 5
 *   --only a,c,service    of a to f, r and service
 *   --targets loop-ext4   of the target kinds
 *   --out DIR             results.json, results.md, chart.svg; default bench-results
 * Root; scratch of up to 19 GiB in FERRY_BENCH_DIR, else in the directory for temporary files.
 */
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Cleanup } from '../scripts/demo/cleanup.js';
import { formatBytes } from '../shared/units.js';
import { figureSheets, serviceFigures } from './service/figures.js';
import { chart } from './storage/chart.js';
import { judge } from './storage/goals.js';
import type { Measured } from './storage/measure.js';
import { asMarkdown, asText, goalSheet, machine, type Sheet, sheetOf } from './storage/report.js';
import type { Stage } from './storage/scratch.js';
import { compileFloor, MOST_SCRATCH, runReflink, runWorkload, WORKLOADS } from './storage/workloads.js';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    only: { type: 'string' },
    targets: { type: 'string' },
    out: { type: 'string', default: 'bench-results' },
  },
});

const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => interrupted.abort(new Error(`interrupted (${name})`)));
}
const cleanup = new Cleanup();
try {
  await main();
} catch (thrown) {
  const cause = interrupted.signal.aborted ? interrupted.signal.reason : thrown;
  console.error(`bench: ${(cause as Error).message}`);
  process.exitCode = 1;
} finally {
  for (const left of await cleanup.run()) {
    console.error(`bench: could not clean up ${left}`);
    process.exitCode = 1;
  }
}

async function main(): Promise<void> {
  const { quick, out } = values;
  if (process.getuid?.() !== 0) throw new Error('loop devices and file systems need root');
  const plan = {
    rounds: Number(values.rounds ?? (quick ? 2 : 5)),
    scale: quick ? 8 : 1,
    quick,
    targets: values.targets?.split(',') ?? null,
  };
  const wanted = (part: string) => values.only?.split(',').includes(part) ?? true;
  const stage = makeStage(MOST_SCRATCH / plan.scale);
  compileFloor(stage);

  const all: Measured[] = [];
  const done = (measured: Measured) => {
    all.push(measured);
    console.log(`\n${asText(sheetOf(measured))}`);
  };
  const say = (line: string) => console.error(line);
  for (const workload of WORKLOADS.filter(({ letter }) => wanted(letter))) {
    await runWorkload(stage, workload, plan, done, say);
  }
  if (wanted('r') && plan.targets === null) await runReflink(stage, plan, done, say);
  const figures = wanted('service') ? figureSheets(await serviceFigures({ quick, ...stage })) : [];
  const sheets: Sheet[] = [...all.map(sheetOf), ...figures, goalSheet(judge(all))];
  for (const sheet of [...figures, goalSheet(judge(all))]) console.log(`\n${asText(sheet)}`);
  write(out, all, sheets, plan);
}

function write(out: string, all: readonly Measured[], sheets: readonly Sheet[], plan: object): void {
  const about = { date: new Date().toISOString(), ...machine(), ...plan };
  mkdirSync(out, { recursive: true });
  writeFileSync(
    join(out, 'results.json'),
    `${JSON.stringify({ about, measured: all, goals: judge(all), sheets }, null, 2)}\n`,
  );
  writeFileSync(join(out, 'results.md'), sheets.map(asMarkdown).join('\n'));
  writeFileSync(join(out, 'chart.svg'), chart(all));
  console.log(`${out}: results.json, results.md, chart.svg`);
}

function makeStage(needed: number): Stage {
  const parent = process.env.FERRY_BENCH_DIR ?? tmpdir();
  const { bavail, bsize } = statfsSync(parent);
  if (bavail * bsize < needed) {
    throw new Error(
      `${parent} has ${formatBytes(bavail * bsize)} free and ${formatBytes(needed)} are needed: set FERRY_BENCH_DIR`,
    );
  }
  const directory = mkdtempSync(join(parent, 'ferry-bench-'));
  cleanup.add(directory, async () => rmSync(directory, { recursive: true, force: true }));
  return { directory, cleanup, signal: interrupted.signal };
}
