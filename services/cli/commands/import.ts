/** `ferry import SRC DST`: a job that makes DST byte-identical to the image SRC. */
import type { Command } from 'commander';
import type { Context } from '../context.js';
import { addSubmitFlags, commonOptions, commonRequest, type SubmitFlags, submit } from '../submitting.js';
import { sourceOf, targetOf } from '../targets.js';

interface ImportFlags extends SubmitFlags {
  readonly verify?: true;
  readonly targetIsZero?: true;
  /** commander: false when `--no-…` was given, else true. */
  readonly zeroTail: boolean;
  readonly detectZeroes: boolean;
}

export function addImport(program: Command, context: Context): void {
  const command = program
    .command('import')
    .description('copy a raw disk image onto a block device or into a file')
    .argument('<SRC>', 'image: a file, a block device or an NBD URI')
    .argument('<DST>', 'target: a block device, a file that may be missing, or an NBD URI')
    .option('--verify', 'read the target back and compare it')
    .option('--target-is-zero', 'you vouch that all of the target reads as zeroes')
    .option('--no-zero-tail', 'leave alone what lies behind the image on a larger target')
    .option('--no-detect-zeroes', 'write data as it is, also where it is all zeroes');
  addSubmitFlags(command).action(async (source: string, target: string, flags: ImportFlags) => {
    const code = await submit(
      context,
      {
        kind: 'upload',
        source: sourceOf(source),
        target: await targetOf(target, flags),
        options: { ...commonOptions(flags), ...uploadOptions(flags) },
        ...commonRequest(flags),
      },
      flags,
    );
    context.exitWith(code);
  });
}

/** Only what was asked for: what is left out keeps the server's default. */
function uploadOptions({ verify, targetIsZero, zeroTail, detectZeroes }: ImportFlags) {
  return {
    ...(verify === true ? { verify } : {}),
    ...(targetIsZero === true ? { targetIsZero } : {}),
    ...(zeroTail ? {} : { zeroTail }),
    ...(detectZeroes ? {} : { detectZeroes }),
  };
}
