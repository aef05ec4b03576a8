/**
 * Waits until the disks have nothing left to do. What was freed or written before is not done when a program returns:
 * a file system that is mounted with `discard` tells the disk about freed space later, and whoever is timed next
 * would pay for it.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_MS = 60;
/** Looks in a row that found nothing. */
const QUIET_LOOKS = 2;
/** Something else may keep the disk busy for ever. */
const LONGEST_MS = 5_000;
/** Requests between two looks that are nothing: an append-only file, a journal. */
const NOTHING = 4;

export async function waitUntilQuiet(signal: AbortSignal): Promise<void> {
  let quiet = 0;
  let before = await requests();
  for (let waited = 0; waited < LONGEST_MS && quiet < QUIET_LOOKS; waited += LOOK_MS) {
    await sleep(LOOK_MS, undefined, { signal });
    const now = await requests();
    quiet = now.inFlight === 0 && now.done - before.done <= NOTHING ? quiet + 1 : 0;
    before = now;
  }
}

/** Of all disks that are none of ours; see Documentation/admin-guide/iostats.rst. */
async function requests(): Promise<{ done: number; inFlight: number }> {
  let [done, inFlight] = [0, 0];
  for (const line of (await readFile('/proc/diskstats', 'utf8')).split('\n')) {
    const fields = line.trim().split(/\s+/);
    if (fields.length < 14 || /^(loop|ram|zram)/.test(fields[2] as string)) continue;
    const number = (index: number) => Number(fields[index] ?? 0);
    // Reads, writes, discards.
    done += number(3) + number(7) + number(14);
    inFlight += number(11);
  }
  return { done, inFlight };
}
