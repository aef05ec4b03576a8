/**
 * What images are copied onto. Before each run a target is brought into the same state, whoever used it before: all of its
 * space as it was at first, and stale blocks of old data spread over all of it, which a copy must not leave behind.
 */
import { closeSync, fdatasyncSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../scripts/demo/children.js';
import { alignDown } from '../../shared/units.js';
import { attachLoop, type Lent, makeSparse, mountNested, mountTmpfs, type Stage } from './scratch.js';
import { random } from './segments.js';

export const TARGET_KINDS = {
  'loop-ext4': 'loop device over a preallocated file on ext4: zeroing is cheap',
  'loop-tmpfs': 'loop device over tmpfs: zeroing means writing',
  'file-ext4-preallocated': 'preallocated file on ext4',
  'file-ext4-sparse': 'sparse file on ext4',
  'file-xfs-preallocated': 'preallocated file on xfs',
  'file-xfs-sparse': 'sparse file on xfs',
} as const;
export type TargetKind = keyof typeof TARGET_KINDS;

export interface BenchTarget {
  readonly path: string;
  readonly type: 'block' | 'file';
  readonly allocation: 'preallocated' | 'sparse';
  readonly size: number;
  /** The file below a device, else the target itself. */
  readonly backing: string;
  /** @param round  stale blocks lie elsewhere each time */
  reset(round: number): Promise<void>;
}

/** Where targets of a kind lie, and may lie at all. */
export interface Ground {
  readonly kind: TargetKind;
  makeTarget(name: string, size: number): Promise<BenchTarget>;
  release(): Promise<void>;
}

/** Of a file system of its own for what is large and allocated, but never written. */
const NESTED = 2 * 1024 ** 4;

/**
 * @param nested  targets are larger, together, than what may be written to the disk
 * @param bytes   of all targets together
 */
export async function makeGround(stage: Stage, kind: TargetKind, nested: boolean, bytes: number): Promise<Ground> {
  const lent: Lent[] = [];
  const keep = async (made: Promise<Lent>) => {
    const it = await made;
    lent.push(it);
    return it.path;
  };
  let home = join(stage.directory, 'targets');
  if (kind === 'loop-tmpfs') home = await keep(mountTmpfs(stage, bytes + bytes / 16));
  else if (kind.startsWith('file-xfs')) home = await keep(mountNested(stage, 'xfs', NESTED));
  else if (nested) home = await keep(mountNested(stage, 'ext4', NESTED));
  else mkdirSync(home, { recursive: true });
  const files: string[] = [];
  return {
    kind,
    async makeTarget(name, size) {
      const backing = join(home, name);
      files.push(backing);
      if (!kind.startsWith('loop')) return fileTarget(stage, kind, backing, size);
      makeSparse(backing, size);
      if (kind === 'loop-ext4') await run('fallocate', ['--length', String(size), backing], { signal: stage.signal });
      return deviceTarget(stage, kind, await keep(attachLoop(stage, backing)), backing, size);
    },
    async release() {
      for (const it of lent.toReversed().filter(({ path }) => path.startsWith('/dev/'))) await it.release();
      for (const file of files) rmSync(file, { force: true });
      for (const it of lent.toReversed()) await it.release();
    },
  };
}

function deviceTarget({ signal }: Stage, kind: TargetKind, path: string, backing: string, size: number): BenchTarget {
  return {
    path,
    type: 'block',
    allocation: 'preallocated',
    size,
    backing,
    async reset(round) {
      // Memory stays allocated once it is written, as a disk does; what lies in it does not matter.
      if (kind !== 'loop-tmpfs') await run('blkdiscard', ['--zeroout', path], { signal });
      makeStale(path, size, round);
      await run('blockdev', ['--flushbufs', path], { signal });
    },
  };
}

function fileTarget({ signal }: Stage, kind: TargetKind, path: string, size: number): BenchTarget {
  const allocation = kind.endsWith('sparse') ? 'sparse' : 'preallocated';
  return {
    path,
    type: 'file',
    allocation,
    size,
    backing: path,
    async reset(round) {
      rmSync(path, { force: true });
      makeSparse(path, size);
      if (allocation === 'preallocated') await run('fallocate', ['--length', String(size), path], { signal });
      makeStale(path, size, round);
    },
  };
}

const STALE_BLOCKS = 512;
const PAGE = 4096;

function makeStale(path: string, size: number, round: number): void {
  const next = random(round + 1000);
  const block = Buffer.alloc(PAGE, 0xe5);
  const fd = openSync(path, 'r+');
  try {
    for (let i = 0; i < STALE_BLOCKS; i += 1) writeSync(fd, block, 0, PAGE, alignDown(next() * (size - PAGE), PAGE));
    fdatasyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
