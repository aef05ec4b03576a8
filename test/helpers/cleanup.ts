/**
 * What tests have borrowed from the machine (directories, mounts, loop devices) and must give back.
 * Everything borrowed is registered here. It is given back by its own test (`await using`), else by a
 * root-level mocha hook after the last test, else, when the process dies early, by an exit handler.
 * Newest first: a mount goes before the loop device below it, and that before its directory.
 */
export interface Loan extends AsyncDisposable {
  /** Gives it back now. Safe to repeat. */
  release(): Promise<void>;
}

interface Entry {
  readonly label: string;
  readonly tryOnce: () => void;
}

const open = new Set<Entry>();
const PATIENCE_MS = 10_000;

/**
 * Registers something borrowed.
 * @param label    for the message when it cannot be given back
 * @param tryOnce  gives it back, synchronously (an exit handler cannot wait); throws when that does not
 *                 work yet. It is called again until PATIENCE_MS have passed: whoever keeps a device busy
 *                 may be just about to close it.
 */
export function lend(label: string, tryOnce: () => void): Loan {
  const entry = { label, tryOnce };
  open.add(entry);
  const release = () => giveBack(entry);
  return { release, [Symbol.asyncDispose]: release };
}

async function giveBack(entry: Entry): Promise<void> {
  if (!open.has(entry)) return;
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    try {
      entry.tryOnce();
      open.delete(entry);
      return;
    } catch (cause) {
      if (Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        continue;
      }
      throw new Error(`${entry.label} could not be given back: ${(cause as Error).message}`, { cause });
    }
  }
}

/** Gives everything back; tries all even when one fails. */
export async function giveAllBack(): Promise<void> {
  const failures: unknown[] = [];
  for (const entry of [...open].reverse()) {
    await giveBack(entry).catch((failure) => failures.push(failure));
  }
  if (failures.length > 0) throw new AggregateError(failures, failures.map((f) => (f as Error).message).join('; '));
}

// Imported while mocha loads a test file, this is a hook of the root suite; outside mocha there is none.
if (typeof after === 'function') {
  after('give back what tests borrowed', async function () {
    this.timeout(60_000);
    await giveAllBack();
  });
}

// A run that CI gives up on must not leave loop devices behind; mocha itself looks after SIGINT only.
for (const [name, status] of [
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.once(name, () => process.exit(status));
}

process.on('exit', () => {
  for (const { label, tryOnce } of [...open].reverse()) {
    try {
      tryOnce();
    } catch (failure) {
      process.stderr.write(`left behind: ${label}: ${(failure as Error).message}\n`);
    }
  }
});
