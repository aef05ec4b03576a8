/** What every measurement stands on: an end that leaves nothing behind, a directory, and the programs that help. */
import { mkdir, mkdtemp, readFile, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../../scripts/demo/children.js';
import { Cleanup } from '../../scripts/demo/cleanup.js';
import { formatBytes, KiB } from '../../shared/units.js';

export interface Stage {
  readonly directory: string;
  readonly cleanup: Cleanup;
  /** Aborted by Ctrl-C and its like. */
  readonly signal: AbortSignal;
}

/** @throws Error when there is less room than `needed` bytes; it says what is missing */
export async function makeDirectory(cleanup: Cleanup, needed: number): Promise<string> {
  const parent = process.env.FERRY_BENCH_DIR || tmpdir();
  await mkdir(parent, { recursive: true });
  const { bavail, bsize } = await statfs(parent);
  if (bavail * bsize < needed) {
    throw new Error(
      `${parent} has ${formatBytes(bavail * bsize)} free, ${formatBytes(needed)} are needed: ` +
        'set FERRY_BENCH_DIR to a roomier directory, or use --quick',
    );
  }
  const directory = await mkdtemp(join(parent, 'ferry-bench-'));
  cleanup.add(directory, () => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** Something to be undone early: at the end of `body`, or with the stage when that comes first. */
export async function within<T>(stage: Stage, what: string, body: (part: Stage) => Promise<T>): Promise<T> {
  const cleanup = new Cleanup();
  const undo = async () => {
    const left = await cleanup.run();
    if (left.length > 0) throw new Error(left.join('; '));
  };
  stage.cleanup.add(what, undo);
  try {
    return await body({ ...stage, cleanup });
  } finally {
    await undo();
  }
}

/** Compiles the floor with the machine's gcc. @returns the program */
export async function buildFloor({ directory, signal }: Stage): Promise<string> {
  // From the sources: what is compiled is in dist/, but not the C.
  const source = fileURLToPath(new URL('../../../bench/native/floor.c', import.meta.url));
  const program = join(directory, 'floor');
  await run('gcc', ['-O2', '-pthread', '-o', program, source], { signal });
  return program;
}

/** Memory that could be had without swapping. */
export async function availableMemory(): Promise<number> {
  const meminfo = await readFile('/proc/meminfo', 'utf8');
  return Number(/^MemAvailable:\s+(\d+)/m.exec(meminfo)?.[1] ?? 0) * KiB;
}

/** For what must be undone although everything was interrupted. */
export const uninterrupted = (): AbortSignal => new AbortController().signal;
