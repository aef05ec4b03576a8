/** What `ferry probe` found out, as lines for people. */
import { formatBytes } from '../../shared/units.js';
import type { MethodProbe, ProbeReport } from '../../workers/tasks/probe-report.js';
import { plainTable, rows, trimRight } from './report.js';
import { formatRate } from './words.js';

export function probeLines(report: ProbeReport): string[] {
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
