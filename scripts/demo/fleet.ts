/**
 * Ten VMs: a system disk each, and three with a data disk. All are made from two real images (`image.ts`): copies
 * whose file systems then get a host name and a file of noise of their own, so that no two disks are the same.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MiB } from '../../shared/units.js';
import { run } from './children.js';
import { type ImageSize, makeImage, PARTITION_START } from './image.js';
import type { Stage } from './stage.js';
import { type DemoTarget, makeTarget } from './target.js';

const SYSTEM: ImageSize = { size: 512 * MiB, contentBytes: 80 * MiB };
const DATA: ImageSize = { size: 256 * MiB, contentBytes: 40 * MiB };

const NAMES = ['web-1', 'web-2', 'web-3', 'app-1', 'app-2', 'app-3', 'db-1', 'db-2', 'mail', 'files'];
const WITH_DATA = new Set(['db-1', 'db-2', 'files']);

export interface FleetDisk {
  readonly vm: string;
  readonly image: string;
  readonly size: number;
  readonly target: DemoTarget;
  /** Data disks reserve their space; system disks stay sparse, as the demo must fit into few gigabytes. */
  readonly allocation: 'sparse' | 'preallocated';
}

export async function makeFleet(base: string, { cleanup, signal }: Stage): Promise<FleetDisk[]> {
  const system = await makeBase(join(base, 'system.img'), SYSTEM, signal);
  const data = await makeBase(join(base, 'data.img'), DATA, signal);
  const disks: FleetDisk[] = [];
  const add = async (vm: string, kind: string, from: string, size: number, allocation: FleetDisk['allocation']) => {
    const image = join(base, `${vm}-${kind}.img`);
    await run('cp', ['--sparse=always', '--reflink=auto', from, image], { signal });
    await personalize(image, `${vm}-${kind}`, (4 + 2 * disks.length) * MiB, base, signal);
    const target = await makeTarget(join(base, `${vm}-${kind}.target`), size, cleanup, signal);
    disks.push({ vm, image, size, target, allocation });
  };
  for (const vm of NAMES) {
    await add(vm, 'system', system, SYSTEM.size, 'sparse');
    if (WITH_DATA.has(vm)) await add(vm, 'data', data, DATA.size, 'preallocated');
  }
  await Promise.all([system, data].map((path) => rm(path)));
  // Their write-back must not disturb what is watched.
  await run('sync', ['--file-system', base], { signal });
  return disks;
}

async function makeBase(path: string, size: ImageSize, signal: AbortSignal): Promise<string> {
  const scratch = `${path}.files`;
  await mkdir(scratch);
  await makeImage(path, scratch, size, signal);
  await rm(scratch, { recursive: true });
  return path;
}

/** Writes two files into the image's file system, which needs no mount and no root. */
async function personalize(
  image: string,
  name: string,
  noiseBytes: number,
  base: string,
  signal: AbortSignal,
): Promise<void> {
  const [hostname, noise] = [join(base, 'hostname'), join(base, 'noise')];
  await writeFile(hostname, `${name}\n`);
  await run('dd', ['if=/dev/urandom', `of=${noise}`, 'bs=1M', `count=${noiseBytes / MiB}`, 'status=none'], { signal });
  const input = `write ${hostname} hostname\nwrite ${noise} noise\n`;
  await run('debugfs', ['-w', '-f', '-', `${image}?offset=${PARTITION_START}`], { signal, input });
  await rm(noise);
}
