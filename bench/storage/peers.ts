/** The programs that people use today, and the floor, as they are called for a workload and a target. */
import { type Contestant, program } from './contestants.js';
import type { TargetKind } from './targets.js';

const CONVERT = ['qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw'];
/** Threads of the floor. */
const FLOOR_THREADS = 4;

export type Race =
  /** An image with holes, or without. */
  | { readonly type: 'copy'; readonly dd: boolean; readonly floor: boolean }
  | { readonly type: 'zero' }
  | { readonly type: 'reflink' };

export function peersFor(race: Race, kind: TargetKind, floor: string): Contestant[] {
  if (race.type === 'zero') return zeroing(kind);
  const convert = [
    program('qemu-img', 'peer', [...CONVERT, 'SOURCE', 'TARGET']),
    program('qemu-img -W -m 8 writeback', 'peer', [...CONVERT, ...'-W -m 8 -T writeback SOURCE TARGET'.split(' ')]),
    program('qemu-img -W -m 8 -t none', 'peer', [
      ...CONVERT,
      ...'-W -m 8 -T writeback -t none SOURCE TARGET'.split(' '),
    ]),
  ];
  if (race.type === 'reflink') {
    return [
      program('cp --reflink', 'peer', ['cp', '--reflink=always', 'SOURCE', 'TARGET']),
      program('cp without reflink', 'peer', ['cp', '--reflink=never', '--sparse=always', 'SOURCE', 'TARGET']),
      ...convert.slice(0, 1),
    ];
  }
  const sparse = kind.allocation === 'sparse';
  const nbdcopy = ['nbdcopy', '--flush', ...(sparse ? [] : ['--allocated']), 'SOURCE', 'TARGET'];
  return [
    ...(race.floor ? [floorFor(kind, floor)] : []),
    ...convert,
    program('nbdcopy', 'peer', nbdcopy),
    ...(sparse ? [program('cp --sparse', 'peer', ['cp', '--sparse=always', 'SOURCE', 'TARGET'])] : []),
    ...(race.dd
      ? [
          program('dd', 'peer', [
            ...'dd if=SOURCE of=TARGET bs=4M oflag=direct conv=fsync,notrunc status=none'.split(' '),
          ]),
        ]
      : []),
  ];
}

/** Also what brings a target's data back into it before a run. */
export function floorFor({ allocation, zeroingWrites = false }: TargetKind, floor: string): Contestant {
  const order = zeroingWrites ? 'holes' : 'first';
  const command = [floor, 'SOURCE', 'TARGET', allocation, order, String(FLOOR_THREADS)];
  return { ...program('floor', 'floor', command, Number), how: `floor ${command.slice(1).join(' ')}` };
}

function zeroing({ device, allocation }: TargetKind): Contestant[] {
  if (device) return [program('blkdiscard -z', 'peer', ['blkdiscard', '--zeroout', 'TARGET'])];
  const [name, flag] = allocation === 'sparse' ? ['fallocate -p', '--punch-hole'] : ['fallocate -z', '--zero-range'];
  return [program(name, 'peer', ['fallocate', flag, '--length', 'SIZE', 'TARGET'])];
}
