/**
 * Programs that tests call: whether they are there, and running them with an error that says what they said.
 * Arguments are never seen by a shell.
 */
import { execFile, spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

// An ordinary user's PATH lacks the directories where Debian puts mkfs, losetup and mount helpers.
const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' };
const maxBuffer = 64 * 1024 * 1024;

/** Runs a program to its end. @returns what it wrote to stdout, trimmed. @throws Error with its stderr */
export async function run(program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args, { env, maxBuffer });
  return stdout.trim();
}

/** As `run`, blocking: for exit handlers, and for questions while test files load. */
export function runSync(program: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { env, maxBuffer, encoding: 'utf8' });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed (${status}): ${stderr.trim()}`);
  return stdout.trim();
}

export function hasCommand(name: string): boolean {
  return env.PATH.split(':').some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
