/** What is measured: images, the targets that they go to, and who takes part. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { alignDown, GiB, MiB } from '../../shared/units.js';
import { type Contestant, cp, dd, floor, nbdcopy, qemuDefault, qemuParallel, zeroTool } from './contestants.js';
import { allOf, type Image, makeImage } from './images.js';
import { type Measured, measure } from './measure.js';
import { startOurs } from './ours.js';
import { mountNested, type Stage } from './scratch.js';
import { scattered, usedDisk } from './segments.js';
import { type BenchTarget, makeGround, type TargetKind } from './targets.js';

const SEED = 20_181_126;
const PAGE = 4096;

export interface Workload {
  readonly letter: string;
  readonly title: string;
  readonly targets: readonly TargetKind[];
  /** Of them, those of a quick run. */
  readonly quick: readonly TargetKind[];
  /** The image is made `scale` times smaller. */
  readonly makeImage: ((path: string, scale: number) => Image) | null;
  readonly zeroBytes?: number;
  readonly copies?: number;
  readonly nested?: boolean;
  /** dd writes all of it: more than the disk has, or longer than anybody waits. */
  readonly noDd?: string;
}

const COPYING: readonly TargetKind[] = [
  'loop-ext4',
  'loop-tmpfs',
  'file-ext4-preallocated',
  'file-ext4-sparse',
  'file-xfs-preallocated',
  'file-xfs-sparse',
];

const usedImage = (path: string, scale: number) => {
  const size = (6 * GiB) / scale;
  return makeImage(path, size, usedDisk(size, alignDown(size * 0.19, PAGE), SEED));
};

export const WORKLOADS: readonly Workload[] = [
  {
    letter: 'a',
    title: '6 GiB image, 81 % free, about 2,000 data segments of 4 KiB to 100 MiB',
    targets: COPYING,
    quick: ['loop-ext4', 'loop-tmpfs', 'file-ext4-sparse'],
    makeImage: usedImage,
  },
  {
    letter: 'b',
    title: 'the same image ten times at once, onto ten devices',
    targets: ['loop-ext4'],
    quick: ['loop-ext4'],
    makeImage: usedImage,
    copies: 10,
    nested: true,
    noDd: 'it would write 60 GiB of zeroes',
  },
  {
    letter: 'c',
    title: '2 GiB image full of random data',
    targets: ['loop-ext4', 'loop-tmpfs', 'file-ext4-preallocated'],
    quick: ['loop-ext4'],
    makeImage: (path, scale) => makeImage(path, (2 * GiB) / scale, allOf((2 * GiB) / scale)),
  },
  {
    letter: 'd',
    title: '4 GiB image that is allocated and full of zeroes',
    targets: ['loop-ext4', 'loop-tmpfs', 'file-ext4-sparse'],
    quick: ['loop-ext4'],
    makeImage: (path, scale) => makeImage(path, (4 * GiB) / scale, allOf((4 * GiB) / scale), true),
  },
  {
    letter: 'e',
    title: '1 TiB image with 1 GiB of data in 100,000 segments',
    targets: ['loop-ext4', 'file-ext4-sparse'],
    quick: ['loop-ext4'],
    makeImage: (path, scale) => {
      const size = (1024 * GiB) / scale;
      return makeImage(path, size, scattered(size, GiB / scale, Math.floor(100_000 / scale), SEED));
    },
    nested: true,
    noDd: 'it would write 1 TiB of zeroes',
  },
  {
    letter: 'f',
    title: 'zeroing 60 GiB',
    targets: ['loop-ext4', 'file-ext4-preallocated', 'file-xfs-preallocated'],
    quick: ['loop-ext4'],
    makeImage: null,
    zeroBytes: 60 * GiB,
    nested: true,
  },
];

export interface Plan {
  readonly rounds: number;
  readonly scale: number;
  readonly quick: boolean;
  readonly targets: readonly string[] | null;
}

/** @param done  told of each that is measured */
export async function runWorkload(
  stage: Stage,
  workload: Workload,
  plan: Plan,
  done: (measured: Measured) => void,
  say: (line: string) => void,
): Promise<void> {
  const { makeImage: make, zeroBytes = 0, copies = 1, nested = false, letter } = workload;
  const path = join(stage.directory, 'source.img');
  const image = make === null ? null : make(path, plan.scale);
  const size = image?.size ?? zeroBytes / plan.scale;
  try {
    const kinds = (plan.quick ? workload.quick : workload.targets).filter(
      (kind) => plan.targets?.includes(kind) ?? true,
    );
    for (const kind of kinds) {
      const ground = await makeGround(stage, kind, nested, size * copies);
      try {
        const targets: BenchTarget[] = [];
        for (let i = 0; i < copies; i += 1) targets.push(await ground.makeTarget(`target-${i}.img`, size));
        const roots = [stage.directory, ...targets.filter(({ type }) => type === 'block').map((target) => target.path)];
        const ours = await startOurs(stage, roots, copies, image === null);
        const others = opponents(stage, workload, targets[0] as BenchTarget);
        const leftOut = workload.noDd === undefined ? [] : [`dd: ${workload.noDd}`];
        done(
          await measure({ workload: letter, target: kind, image, targets, ours, others, leftOut }, plan.rounds, say),
        );
        await ours.stop();
      } finally {
        await ground.release();
      }
    }
  } finally {
    rmSync(path, { force: true });
  }
}

function opponents({ signal, directory }: Stage, workload: Workload, target: BenchTarget): Contestant[] {
  if (workload.makeImage === null) return [zeroTool(signal, target.type)];
  return [
    floor(signal, join(directory, 'floor')),
    ...(workload.noDd === undefined ? [dd(signal)] : []),
    qemuDefault(signal),
    qemuParallel(signal, 'writeback'),
    qemuParallel(signal, 'none'),
    nbdcopy(signal),
    ...(target.allocation === 'sparse' ? [cp(signal, '--sparse=always')] : []),
  ];
}

/** Source and target in one file system that can share blocks. */
export async function runReflink(
  stage: Stage,
  plan: Plan,
  done: (measured: Measured) => void,
  say: (line: string) => void,
): Promise<void> {
  const { signal } = stage;
  const home = await mountNested(stage, 'xfs', 64 * GiB);
  try {
    const image = usedImage(join(home.path, 'source.img'), plan.scale);
    const path = join(home.path, 'target.img');
    const target: BenchTarget = {
      ...{ path, backing: path, type: 'file', allocation: 'sparse', size: image.size },
      reset: async () => execFileSync('truncate', ['--size', String(image.size), path]) as unknown as undefined,
    };
    const ours = await startOurs(stage, [home.path], 1);
    const others = [cp(signal, '--reflink=always'), qemuDefault(signal)];
    const match = { workload: 'r', target: 'xfs, reflink', image, targets: [target], ours, others };
    done(await measure(match, plan.rounds, say));
    await ours.stop();
  } finally {
    await home.release();
  }
}

/** @returns where the compiled floor is. @throws Error without a C compiler */
export function compileFloor({ directory }: Stage): void {
  const source = new URL('../../../bench/native/floor.c', import.meta.url).pathname;
  mkdirSync(directory, { recursive: true });
  execFileSync('cc', ['-O2', '-o', join(directory, 'floor'), source, '-lpthread']);
}

/** What is really written to the disk at most, with room for file systems. */
export const MOST_SCRATCH = 18 * GiB + 512 * MiB;
