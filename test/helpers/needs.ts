/**
 * Tests that need more than Node.js say so: `needs(isRoot, 'root')('does it', async function () {…})`.
 * What is missing is named in the report and the test is skipped; it never passes unrun.
 * In CI as root nothing may be missing there, so the same test fails instead.
 */
import type { AsyncFunc, Func } from 'mocha';
import { hasCommand } from './command.js';

export const isRoot = process.getuid?.() === 0;

/** Set by .ci/run, and by most CI systems. */
export const inCi = /^(1|true)$/.test(process.env.CI ?? '');

/** Declares one test, in place of `it`. */
export type Declare = (sentence: string, body: Func | AsyncFunc) => void;

export function needs(condition: boolean, missing: string): Declare {
  return (sentence, body) => {
    if (condition) {
      it(sentence, body);
    } else if (inCi && isRoot) {
      it(sentence, () => {
        throw new Error(`this machine lacks ${missing}; in CI as root nothing may be skipped`);
      });
    } else {
      it.skip(`${sentence} (needs ${missing})`, body);
    }
  };
}

/** Needs programs, by name: `needsCommands('strace', 'qemu-img')('…', …)`. */
export function needsCommands(...names: string[]): Declare {
  const absent = names.filter((name) => !hasCommand(name));
  return needs(absent.length === 0, absent.join(', '));
}
