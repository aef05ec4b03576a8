/** What is copied or zeroed, and onto what. Letters are how the command line and the tables name them. */
import { formatBytes, GiB, KiB, MiB, type Range } from '../../shared/units.js';
import { BLOCK, layOut, type Mix } from './layout.js';
import type { Race } from './peers.js';
import type { TargetName } from './targets.js';

export interface Workload {
  readonly letter: string;
  readonly title: string;
  readonly targets: readonly TargetName[];
  /** Those of a quick run. */
  readonly quickTargets: readonly TargetName[];
  /** Targets at once. */
  readonly count: number;
  /** Its targets have no room but in a sparse file. */
  readonly large: boolean;
  readonly race: Race;
  readonly size: number;
  /** null: there is no source. */
  readonly data: readonly Range[] | null;
  readonly content: 'random' | 'zeroes';
}

export const WORKLOAD_LETTERS = ['a', 'b', 'c', 'd', 'e', 'f', 'r'] as const;

/** One of each kind; btrfs, which writes elsewhere what is overwritten, only where blocks are shared. */
const EVERY_KIND = [
  ...(['loop-ext4', 'loop-tmpfs', 'file-ext4-preallocated', 'file-ext4-sparse'] as const),
  ...(['file-xfs-preallocated', 'file-xfs-sparse'] as const),
];

const COPY = { type: 'copy', dd: true, floor: true } as const satisfies Race;

/** @param scale  1, or by how much everything is smaller */
export function makeWorkloads(scale: number, seed: number): Workload[] {
  const blocks = (bytes: number) => Math.floor(bytes / scale / BLOCK) * BLOCK;
  const typical: Mix = {
    imageBytes: blocks(6 * GiB),
    dataBytes: blocks(6 * GiB * 0.19),
    segments: Math.floor(2000 / scale),
    smallest: BLOCK,
    largest: blocks(100 * MiB),
  };
  const strewn: Mix = {
    imageBytes: blocks(1024 * GiB),
    dataBytes: blocks(GiB),
    segments: Math.floor(100_000 / scale),
    smallest: BLOCK,
    largest: 64 * KiB,
  };
  const random = { content: 'random', count: 1, large: false } as const;
  const sparseImage = { ...random, size: typical.imageBytes, data: layOut(typical, seed) };
  const typicalText = `${formatBytes(typical.imageBytes)}, 81 % free, ${typical.segments} segments`;
  const dense = (bytes: number) => ({ size: bytes, data: [{ start: 0, length: bytes }] });
  return [
    {
      ...sparseImage,
      letter: 'a',
      title: typicalText,
      targets: EVERY_KIND,
      quickTargets: ['loop-ext4', 'loop-tmpfs', 'file-ext4-sparse', 'file-xfs-preallocated'],
      race: COPY,
    },
    {
      ...sparseImage,
      letter: 'b',
      title: `${typicalText}: ten at once`,
      targets: ['loop-ext4', 'file-xfs-preallocated'],
      quickTargets: ['loop-ext4'],
      count: 10,
      large: true,
      race: { ...COPY, dd: false },
    },
    {
      ...random,
      ...dense(blocks(2 * GiB)),
      letter: 'c',
      title: `dense random ${formatBytes(blocks(2 * GiB))}`,
      targets: EVERY_KIND,
      quickTargets: ['loop-ext4', 'loop-tmpfs'],
      race: COPY,
    },
    {
      ...random,
      ...dense(blocks(4 * GiB)),
      content: 'zeroes',
      letter: 'd',
      title: `dense file of zeroes ${formatBytes(blocks(4 * GiB))}`,
      targets: EVERY_KIND,
      quickTargets: ['loop-ext4', 'loop-tmpfs'],
      // The floor writes what takes space in the source: that is no floor here.
      race: { ...COPY, floor: false },
    },
    {
      ...random,
      size: strewn.imageBytes,
      data: layOut(strewn, seed),
      letter: 'e',
      title: `${formatBytes(strewn.imageBytes)}, ${formatBytes(strewn.dataBytes)} in ${strewn.segments} segments`,
      targets: EVERY_KIND,
      quickTargets: ['loop-ext4', 'file-xfs-sparse'],
      large: true,
      race: { ...COPY, dd: false },
    },
    {
      ...random,
      size: blocks(60 * GiB),
      data: null,
      letter: 'f',
      title: `zero ${formatBytes(blocks(60 * GiB))}`,
      targets: EVERY_KIND,
      quickTargets: ['loop-ext4', 'file-ext4-preallocated'],
      large: true,
      race: { type: 'zero' },
    },
    {
      ...sparseImage,
      letter: 'r',
      title: `${typicalText}: file to file that can share blocks`,
      targets: ['file-xfs-sparse', 'file-btrfs-sparse'],
      quickTargets: ['file-xfs-sparse', 'file-btrfs-sparse'],
      large: true,
      race: { type: 'reflink' },
    },
  ];
}
