/** `ferry download SRC FILE`: reads an image of a node into a raw file or device of this machine. */
import type { Command } from 'commander';
import { addClientFlags } from '../client-flags.js';
import type { Context } from '../context.js';
import type { DownloadFlags } from '../images-client/download-command.js';
import { addTransferFlags } from '../images-client/transfer-flags.js';
import { parseLabel } from '../parse.js';

export function addDownload(program: Command, context: Context): void {
  const command = program
    .command('download')
    .description('read a disk image of a node into a raw file or device of this machine')
    .argument('<SRC>', 'on the node: a file, a block device or an NBD URI; left out with --url')
    .argument('[FILE]', 'file to make, in which holes stay holes, or a block device')
    .option('--url <URL>', 'read from this ticket, instead of making a job')
    .option('--overwrite', 'FILE may exist, or be a block device: what it holds goes')
    .option('--verify', 'compare the checksum of FILE with that of the image')
    .option('--label <KEY=VALUE>', 'a label of the job; may be repeated', parseLabel)
    .option('--pool <NAME>', 'pool whose nodes have the image');
  addTransferFlags(addClientFlags(command)).action(
    async (first: string, second: string | undefined, flags: DownloadFlags) => {
      if ((second === undefined) !== (flags.url !== undefined)) {
        command.error('error: give SRC and FILE, or --url URL and FILE');
      }
      const { download } = await import('../images-client/download-command.js');
      context.exitWith(await download(context, first, second ?? first, flags));
    },
  );
}
