/** `ferry zero DST`: a job that makes ranges of DST, or all of it, read as zeroes. */
import { type Command, Option } from 'commander';
import type { Range } from '../../../shared/units.js';
import type { Context } from '../context.js';
import { parseRange } from '../parse.js';
import { addSubmitFlags, commonOptions, commonRequest, type SubmitFlags, submit } from '../submitting.js';
import { targetOf } from '../targets.js';

interface ZeroFlags extends SubmitFlags {
  readonly range?: Range[];
}

export function addZero(program: Command, context: Context): void {
  const command = program
    .command('zero')
    .description('make a target, or ranges of it, read as zeroes')
    .argument('<DST>', 'target: a block device or a file')
    .addOption(
      new Option('--range <START:LENGTH>', 'only this, such as 1MiB:512KiB; may be repeated').argParser(parseRange),
    );
  addSubmitFlags(command).action(async (target: string, flags: ZeroFlags) => {
    const code = await submit(
      context,
      {
        kind: 'zero',
        target: await targetOf(target, flags),
        ...(flags.range === undefined ? {} : { ranges: flags.range }),
        options: commonOptions(flags),
        ...commonRequest(flags),
      },
      flags,
    );
    context.exitWith(code);
  });
}
