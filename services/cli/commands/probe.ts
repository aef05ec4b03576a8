/** `ferry probe PATH|URI`: what this storage can do. Runs here, on a thread of its own, without server or queue. */
import type { Command } from 'commander';
import { parseNbdUri } from '../../../shared/nbd-uri.js';
import type { Context } from '../context.js';
import { absolutePath, isNbd } from '../targets.js';

interface ProbeFlags {
  readonly overwrite?: true;
  readonly json?: true;
}

export function addProbe(program: Command, context: Context): void {
  program
    .command('probe')
    .description('find out what storage can do: direct I/O, sector size, methods to zero and how fast')
    .argument('<PATH>', 'a directory, a file (tried on another file beside it), a block device, or an NBD URI')
    .option('--overwrite', 'DESTROYS the first 64 MiB of a block device or export, to try each method on it')
    .option('--json', 'print JSON')
    .action(async (path: string, flags: ProbeFlags) => {
      const { BUFFER_LENGTH, Workers } = await import('../../../workers/pool.js');
      const workers = new Workers({ threads: 1, bufferBytes: BUFFER_LENGTH });
      try {
        const what = isNbd(path) ? { nbd: parseNbdUri(path, 'PATH') } : { path: absolutePath(path) };
        const report = await workers.run('probe', { ...what, overwrite: flags.overwrite === true });
        if (flags.json === true) return context.screen.line(JSON.stringify(report));
        const { probeLines } = await import('../probe-lines.js');
        for (const line of probeLines(report)) context.screen.line(line);
      } finally {
        await workers.close();
      }
    });
}
