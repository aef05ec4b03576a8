/** `ferry probe PATH|URI`: what this storage can do. Runs here, on a thread of its own, without server or queue. */
import type { Command } from 'commander';
import { parseNbdUri } from '../../../shared/nbd-uri.js';
import { formatBytes } from '../../../shared/units.js';
import type { MethodProbe, ProbeReport } from '../../../workers/tasks/probe-report.js';
import type { Context } from '../context.js';
import { plainTable, rows, trimRight } from '../report.js';
import { absolutePath, isNbd } from '../targets.js';
import { formatRate } from '../words.js';

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
        if (flags.json === true) context.screen.line(JSON.stringify(report));
        else for (const line of reportLines(report)) context.screen.line(line);
      } finally {
        await workers.close();
      }
    });
}

function reportLines(report: ProbeReport): string[] {
  const table = plainTable(['ALLOCATION', 'METHOD', 'WORKS', 'SPEED']);
  for (const method of report.methods) {
    const speed = method.bytesPerSecond === null ? '' : formatRate(method.bytesPerSecond);
    table.push([method.allocation, method.method, works(method), speed]);
  }
  return [
    `${report.path} (${report.kind})`,
    ...rows([
      ['size', report.size === null ? null : formatBytes(report.size)],
      ['sectors', sectors(report)],
      [
        'direct I/O',
        report.kind === 'nbd' ? null : report.directIo ? 'yes' : `no: ${report.directRefusal ?? 'refused'}`,
      ],
      ['holes', report.kind === 'block' ? null : report.extents ? 'can be told from data' : 'cannot be told from data'],
      ['zero offload', report.offloadsZero === null ? null : report.offloadsZero ? 'yes' : 'no'],
      ['writes', report.writeBytesPerSecond === null ? null : formatRate(report.writeBytesPerSecond)],
      ['tried on', report.triedOn],
    ]),
    '',
    ...trimRight(table.toString()).split('\n'),
  ];
}

function sectors({ sectorSize, physicalSectorSize }: ProbeReport): string {
  return physicalSectorSize === null || physicalSectorSize === sectorSize
    ? `${sectorSize} B`
    : `${sectorSize} B, written in ${physicalSectorSize} B`;
}

function works({ supported }: MethodProbe): string {
  return supported === null ? 'not tried' : supported ? 'yes' : 'no';
}
