/**
 * Temporary directories that do not outlive the tests. `await using dir = await tempDir();`
 * They lie below TMPDIR (default /tmp), whatever file system that is; see mounts.ts for a particular one.
 */
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Loan, lend } from './cleanup.js';

export interface TempDir extends Loan {
  readonly path: string;
  /** A path inside; nothing is created. */
  join(...parts: string[]): string;
}

export async function tempDir(): Promise<TempDir> {
  const path = await mkdtemp(join(tmpdir(), 'ferry-test-'));
  const loan = lend(`directory ${path}`, () => rmSync(path, { recursive: true, force: true }));
  return { path, join: (...parts) => join(path, ...parts), ...loan };
}
