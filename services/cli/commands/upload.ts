/** `ferry upload FILE TARGET`: sends an image of this machine to a node, for a job or straight to a ticket. */
import { type Command, Option } from 'commander';
import type { Context } from '../context.js';
import { addTransferFlags } from '../images-client/transfer-flags.js';
import type { UploadFlags } from '../images-client/upload-command.js';
import { FORMATS } from '../local-storage/image-format.js';
import { addSubmitFlags } from '../submitting.js';

export function addUpload(program: Command, context: Context): void {
  const command = program
    .command('upload')
    .description('send a disk image of this machine to a node')
    .argument('<FILE>', 'image: a file, a block device or an NBD URI; other formats than raw need qemu-utils')
    .argument('[TARGET]', 'on the node: a block device, a file that may be missing, or an NBD URI')
    .option('--target <TARGET>', 'the same as TARGET')
    .option('--url <URL>', 'send to this ticket, instead of making a job')
    .option('--resume <JOB>', 'go on with the job of an upload that was interrupted')
    .option('--verify', 'compare the checksum of the target with that of the image')
    .option('--no-zero-tail', 'leave alone what lies behind the image on a larger target')
    .addOption(new Option('--format <FORMAT>', 'of FILE; default: what it says of itself').choices(FORMATS));
  addTransferFlags(addSubmitFlags(command, 'client')).action(
    async (file: string, argument: string | undefined, flags: UploadFlags) => {
      const given = [argument, flags.target, flags.url, flags.resume].filter((way) => way !== undefined);
      if (given.length !== 1) command.error('error: give one of TARGET, --url URL and --resume JOB');
      const { upload } = await import('../images-client/upload-command.js');
      context.exitWith(await upload(context, file, argument ?? flags.target, flags));
    },
  );
}
