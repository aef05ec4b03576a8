/**
 * The same copy by others: the same source, warm in the page cache before each run, onto the same target,
 * emptied before each run, until it is durable.
 */
import Table from 'cli-table3';
import { run } from './children.js';
import type { DemoTarget } from './target.js';

export interface Contender {
  readonly name: string;
  readonly how: string;
  /** @returns milliseconds until the copy is durable */
  copy(): Promise<number>;
}

export interface Timing {
  readonly name: string;
  readonly how: string;
  /** Or why there is none. */
  readonly durationMs: number | string;
}

export function contenders(source: string, target: DemoTarget, signal: AbortSignal): Contender[] {
  const program = (name: string, how: string, command: string, args: string[]): Contender => ({
    name,
    how,
    async copy() {
      const { durationMs } = await run(command, args, { signal });
      // Some leave the last bytes to the kernel; all are measured until the storage has them.
      return durationMs + (await run('sync', ['--data', target.path], { signal })).durationMs;
    },
  });
  const raw = ['convert', '-n', '-f', 'raw', '-O', 'raw'];
  return [
    program('qemu-img', 'convert -W -m 8 -t none', 'qemu-img', [
      ...raw,
      '-W',
      '-m',
      '8',
      '-t',
      'none',
      source,
      target.path,
    ]),
    program('qemu-img', 'convert', 'qemu-img', [...raw, source, target.path]),
    program('dd', 'bs=1M oflag=direct conv=fdatasync', 'dd', [
      `if=${source}`,
      `of=${target.path}`,
      'bs=1M',
      'oflag=direct',
      'conv=fdatasync,notrunc',
      'status=none',
    ]),
  ];
}

/** A quick copy is repeated: one run of half a second says little. */
const RUNS = 3;
const LONG_MS = 3000;

/** @returns the median of up to three runs */
export async function time(
  contender: Contender,
  source: string,
  target: DemoTarget,
  signal: AbortSignal,
): Promise<Timing> {
  const { name, how } = contender;
  const runs: number[] = [];
  while (runs.length < RUNS) {
    await target.reset(signal);
    await run('dd', [`if=${source}`, 'of=/dev/null', 'bs=1M', 'status=none'], { signal });
    try {
      runs.push(await contender.copy());
    } catch (cause) {
      signal.throwIfAborted();
      return { name, how, durationMs: (cause as Error).message };
    }
    if (runs.every((ms) => ms > LONG_MS)) break;
  }
  runs.sort((a, b) => a - b);
  return { name, how, durationMs: runs[Math.floor(runs.length / 2)] as number };
}

/** Side by side; the first one is the measure. */
export function comparisonTable(timings: readonly Timing[], size: number): string {
  const table = new Table({
    head: ['program', 'how', 'seconds', 'MiB/s', 'times imageferry'],
    colAligns: ['left', 'left', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  });
  const measure = timings[0]?.durationMs;
  for (const { name, how, durationMs } of timings) {
    if (typeof durationMs === 'string') {
      table.push([name, how, { colSpan: 3, content: durationMs.slice(0, 60) }]);
      continue;
    }
    const ratio = typeof measure === 'number' ? (durationMs / measure).toFixed(2) : '';
    table.push([name, how, (durationMs / 1000).toFixed(2), Math.round(size / 1048.576 / durationMs), ratio]);
  }
  return table.toString();
}
