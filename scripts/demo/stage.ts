/** What every demo stands on: an end that leaves nothing behind, a directory of its own, and how it speaks. */
import { mkdir, mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatBytes } from '../../shared/units.js';
import { Cleanup } from './cleanup.js';

export interface Stage {
  /** Aborted by Ctrl-C and its like. */
  readonly signal: AbortSignal;
  readonly cleanup: Cleanup;
}

/** Runs a demo to its end, whichever that is, cleans up after it, and sets the exit code. */
export async function perform(demo: (stage: Stage) => Promise<void>): Promise<void> {
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => interrupted.abort(new Error(`interrupted (${name})`)));
  }
  const cleanup = new Cleanup();
  try {
    await demo({ signal: interrupted.signal, cleanup });
  } catch (thrown) {
    const cause = interrupted.signal.aborted ? interrupted.signal.reason : thrown;
    console.error(`\ndemo: ${(cause as Error).message}`);
    process.exitCode = interrupted.signal.aborted ? 130 : 1;
  } finally {
    for (const left of await cleanup.run()) {
      console.error(`demo: could not clean up ${left}`);
      process.exitCode ||= 1;
    }
  }
}

/** @throws Error when there is less room than `needed` bytes */
export async function makeDirectory({ cleanup }: Stage, needed: number): Promise<string> {
  const parent = process.env.FERRY_DEMO_DIR || tmpdir();
  await mkdir(parent, { recursive: true });
  const { bavail, bsize } = await statfs(parent);
  const free = bavail * bsize;
  if (free < needed) {
    throw new Error(
      `${parent} has ${formatBytes(free)} free, the demo needs ${formatBytes(needed)}: set FERRY_DEMO_DIR to a roomier directory`,
    );
  }
  const base = await mkdtemp(join(parent, 'ferry-demo-'));
  cleanup.add(base, () => rm(base, { recursive: true, force: true }));
  return base;
}

export function say(step: string): void {
  console.log(`\n== ${step}`);
}

export function tell(fact: string): void {
  console.log(`   ${fact}`);
}
