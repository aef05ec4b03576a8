/**
 * What runs while things are killed: lanes, each of which imports or zeroes the same target over and over. Before each
 * round the target is filled with old data, so that a byte that was not written or not zeroed is found.
 */
import { copyFile, open, rm } from 'node:fs/promises';
import type { ImportInput, JobRequestInput, TargetInput } from '../../shared/schemas/job.js';
import { assertSameBytes, assertZero, fill, makeImage, patternBytes, readRange } from './bytes.js';
import { attachLoop, type LoopDevice } from './loop.js';
import { memoryDisk } from './memory-disk.js';
import type { TempDir } from './temp.js';

const MiB = 1024 * 1024;
const IMAGE = 32 * MiB;
const TAIL = 8 * MiB;
const OLD = 9;

export interface Lane {
  readonly name: string;
  readonly request: JobRequestInput;
  /** Puts old data where the job is to write and around it. */
  dirty(): Promise<void>;
  /** @throws Error naming the first byte that a completed job left wrong */
  check(): Promise<void>;
}

export interface Lanes extends AsyncDisposable {
  readonly singles: readonly Lane[];
  /** Disks of one batch. */
  readonly disks: readonly (Lane & { readonly request: ImportInput })[];
  /** Names of all files that may be in the directory. */
  readonly files: readonly string[];
}

type UploadOptions = ImportInput['options'];

/** @param rate  bytes a second of each job, so that it lasts long enough to be killed */
export async function makeLanes(dir: TempDir, rate: number): Promise<Lanes> {
  const source = dir.join('source.img');
  // Data that ends within a page, zeroes among the data, short and long holes.
  await makeImage(source, IMAGE, [
    { start: 0, length: 11 * MiB + 1234, seed: 1 },
    { start: 14 * MiB, length: 70_000, seed: 2 },
    { start: 20 * MiB, length: IMAGE - 20 * MiB, seed: 3 },
  ]);
  await zeroesInData(source, 24 * MiB, 2 * MiB);
  const devices: LoopDevice[] = [];
  const device = async (made: Promise<LoopDevice>) => {
    devices.push(await made);
    return (await made).path;
  };
  const upload = (target: TargetInput, options: UploadOptions = {}) => ({
    kind: 'upload' as const,
    source: { type: 'file' as const, path: source },
    target,
    options: { bandwidthBytesPerSecond: rate, ...options },
  });

  const onDevice = (name: string, path: string, options: UploadOptions = {}) => ({
    name,
    request: upload({ type: 'block', path }, options),
    dirty: () => fill(path, { start: 0, length: IMAGE + TAIL, seed: OLD }),
    async check() {
      await assertSameBytes(source, path, IMAGE);
      if (options.zeroTail ?? true) await assertZero(path, IMAGE, TAIL);
      else await assertOld(path, IMAGE, TAIL);
    },
  });
  const ontoFile = (name: string, path: string, old: boolean, options: UploadOptions = {}) => ({
    name,
    request: upload({ type: 'file', path }, options),
    async dirty() {
      await rm(path, { force: true });
      if (old) await makeImage(path, IMAGE + TAIL, [{ start: 0, length: IMAGE + TAIL, seed: OLD }]);
    },
    async check() {
      await assertSameBytes(source, path, IMAGE);
      if (old) await assertZero(path, IMAGE, TAIL);
    },
  });

  const size = IMAGE + TAIL;
  const singles: Lane[] = [
    onDevice('a device, preallocated', await device(attachLoop({ size }))),
    onDevice('a device, sparse, its tail kept', await device(attachLoop({ size, sectorSize: 4096 })), {
      allocation: 'sparse',
      zeroTail: false,
    }),
    onDevice('a device where zeroes are written', await device(memoryDisk(size))),
    // Reading back counts too, and is not resumed: quicker, or it would be interrupted for ever.
    ontoFile('a longer file, preallocated, verified', dir.join('old.img'), true, {
      verify: true,
      bandwidthBytesPerSecond: 4 * rate,
    }),
    zeroRanges('ranges of a file', dir.join('ranges.img'), rate),
    zeroAll('all of a device where zeroes are written', await device(memoryDisk(size)), size, rate),
  ];
  const disks = [
    ontoFile('disk 0: a new file, sparse', dir.join('disk-0.img'), false, { allocation: 'sparse' }),
    ontoFile('disk 1: a new file, preallocated', dir.join('disk-1.img'), false),
    ontoFile('disk 2: a longer file, sparse', dir.join('disk-2.img'), true, { allocation: 'sparse' }),
    onDevice('disk 3: a device', await device(attachLoop({ size }))),
  ];
  return {
    singles,
    disks,
    files: ['source.img', 'old.img', 'ranges.img', 'ranges.img.expected', 'disk-0.img', 'disk-1.img', 'disk-2.img'],
    async [Symbol.asyncDispose]() {
      for (const lent of devices) await lent.release();
    },
  };
}

/** Not whole pages: the bytes on both sides stay. */
function zeroRanges(name: string, path: string, rate: number): Lane {
  const ranges = [
    { start: MiB + 7, length: 9 * MiB },
    { start: 12 * MiB, length: 4096 },
    { start: 20 * MiB - 1, length: 11 * MiB },
  ];
  const expected = `${path}.expected`;
  return {
    name,
    request: {
      kind: 'zero',
      target: { type: 'file', path },
      ranges,
      options: { bandwidthBytesPerSecond: rate, allocation: 'sparse' },
    },
    async dirty() {
      await makeImage(path, IMAGE, [{ start: 0, length: IMAGE, seed: OLD }]);
      await copyFile(path, expected);
      for (const { start, length } of ranges) await zeroesInData(expected, start, length);
    },
    check: () => assertSameBytes(expected, path),
  };
}

function zeroAll(name: string, path: string, size: number, rate: number): Lane {
  return {
    name,
    request: { kind: 'zero', target: { type: 'block', path }, options: { bandwidthBytesPerSecond: rate } },
    dirty: () => fill(path, { start: 0, length: size, seed: OLD }),
    check: () => assertZero(path, 0, size),
  };
}

async function zeroesInData(path: string, start: number, length: number): Promise<void> {
  await using file = await open(path, 'r+');
  await file.write(Buffer.alloc(length), 0, length, start);
  await file.sync();
}

/** @throws Error when it is not the old data any more */
async function assertOld(path: string, start: number, length: number): Promise<void> {
  const old = patternBytes(OLD, start + length).subarray(start);
  if (!old.equals(await readRange(path, start, length))) throw new Error(`${path} was written behind byte ${start}`);
}
