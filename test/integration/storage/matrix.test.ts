/**
 * The storage matrix: whole copy jobs on every kind of storage, preallocated and sparse, compared byte for byte,
 * with the allocation and the result's accounting checked. See zero-matrix.test.ts for zero jobs.
 */
import { open } from 'node:fs/promises';
import { expect } from 'chai';
import type { JobResult, Plan } from '../../../shared/schemas/job.js';
import { KiB, MiB } from '../../../shared/units.js';
import type { Allocation } from '../../../shared/zero-methods.js';
import type { Workers } from '../../../workers/pool.js';
import { allocatedBytes, assertSameBytes, assertZero, makeImage, type Segment } from '../../helpers/bytes.js';
import { imageChecksum } from '../../helpers/checksum.js';
import {
  assertFilledWith,
  type PreparedStorage,
  STORAGE_KINDS,
  type StorageTarget,
} from '../../helpers/storage-kinds.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';
import { jobRun, openPaths, runJob, startWorkers } from '../../helpers/transfer.js';

const ALIGNED = 24 * MiB;
const ODD = 20 * MiB + 777;
/** Data that is zeroes, as a guest leaves it: allocated in the image, nothing in it. */
const WRITTEN_ZEROES = { start: 8 * MiB, length: 2 * MiB };

interface Scenario {
  readonly name: string;
  readonly imageSize: number;
  /** What the target holds before: null, not there; else that byte all over. */
  readonly before: number | null;
  /** How much larger than the image the target is. */
  readonly larger?: number;
  readonly options?: { verify?: boolean; detectZeroes?: boolean; zeroTail?: boolean; targetIsZero?: boolean };
}

const SCENARIOS: readonly Scenario[] = [
  { name: 'a new target', imageSize: ALIGNED, before: null, options: { verify: true } },
  { name: 'a new target, odd size', imageSize: ODD, before: null },
  { name: 'a dirty target', imageSize: ALIGNED, before: 0xff },
  { name: 'a dirty target, odd size', imageSize: ODD, before: 0xff, options: { verify: true } },
  { name: 'a dirty target, zeroes written like data', imageSize: ODD, before: 0xff, options: { detectZeroes: false } },
  { name: 'a larger dirty target', imageSize: ODD, before: 0xff, larger: 3 * MiB, options: { verify: true } },
  {
    name: 'a larger dirty target, its tail kept',
    imageSize: ODD,
    before: 0xff,
    larger: 3 * MiB,
    options: { zeroTail: false, verify: true },
  },
  {
    name: 'a target said to be zero',
    imageSize: ALIGNED,
    before: 0,
    options: { targetIsZero: true, verify: true },
  },
];

for (const kind of STORAGE_KINDS) {
  describe(`storage matrix: copy to ${kind.name}`, function () {
    this.timeout(60_000);
    let workers: Workers;
    let images: TempDir;
    let storage: PreparedStorage | undefined;

    before(async () => {
      workers = startWorkers();
      images = await tempDir();
      for (const size of [ALIGNED, ODD]) await makeSource(images.join(`${size}`), size);
    });
    after(async () => {
      await workers.close();
      await storage?.[Symbol.asyncDispose]();
      await images.release();
    });

    for (const allocation of ['preallocated', 'sparse'] as const) {
      for (const scenario of SCENARIOS) {
        if (kind.type === 'block' && scenario.before === null) continue;
        kind.declare(`${allocation}, ${scenario.name}`, async () => {
          storage ??= await kind.prepare();
          const { imageSize, before, larger = 0, options = {} } = scenario;
          await using target = await storage.target(imageSize + larger, before);
          const source = images.join(`${imageSize}`);
          const open = openPaths();
          const run = jobRun(workers, [images.path, target.root]);
          const result = await runJob(run, {
            kind: 'upload',
            source: { type: 'file', path: source },
            target: { type: target.type, path: target.path },
            options: { allocation, ...options },
          });
          expect(openPaths()).to.deep.equal(open);
          expect(workers.buffers.inUse).to.equal(0);
          expect(run.progress.sample()).to.include({ percent: 100 });

          await assertSameBytes(source, target.path, imageSize);
          const tail = Math.max(target.size - imageSize, 0);
          if (options.zeroTail === false) await assertFilledWith(target.path, imageSize, tail, 0xff);
          else if (tail > 0) await assertZero(target.path, imageSize, tail);
          assertAccounting(result, target, scenario);
          await assertAllocation(result, target, allocation, scenario);
          if (options.verify) expect(result.checksum?.checksum).to.equal(await imageChecksum(source));
          else expect(result.checksum).to.equal(undefined);
        });
      }
    }
  });
}

async function makeSource(path: string, size: number): Promise<void> {
  const data: Segment[] = [
    { start: 0, length: MiB },
    // Small ones, near and far.
    ...[0, 1, 2, 3].map((i) => ({ start: 3 * MiB + i * 20 * KiB, length: 4 * KiB })),
    { start: 5 * MiB + 4 * KiB, length: 300 * KiB },
    // Over the border of a step.
    { start: 15 * MiB, length: 3 * MiB },
    // To the very end, from no round place.
    { start: size - 100_000, length: 100_000 },
  ];
  await makeImage(path, size, data);
  await using file = await open(path, 'r+');
  await file.write(Buffer.alloc(WRITTEN_ZEROES.length), 0, WRITTEN_ZEROES.length, WRITTEN_ZEROES.start);
  await file.sync();
}

/** Every byte is counted by exactly one method. */
function assertAccounting(result: JobResult, target: StorageTarget, scenario: Scenario): void {
  const { copiedBytes, detectedZeroBytes, zeroed } = result;
  const plan = result.plan as Plan;
  const { options = {}, before, imageSize } = scenario;
  const settled = options.zeroTail === false ? imageSize : Math.max(target.size, imageSize);
  expect(plan.dataBytes + plan.zeroBytes).to.equal(settled);
  expect(copiedBytes + detectedZeroBytes).to.equal(plan.dataBytes);
  expect(detectedZeroBytes >= WRITTEN_ZEROES.length).to.equal(options.detectZeroes !== false);
  const zeroedBytes = zeroed.reduce((total, use) => total + use.bytes, 0);
  const known = before === null || options.targetIsZero === true;
  const reserves = target.type === 'file' && plan.allocation === 'preallocated';
  const expected = {
    'zero-first': settled,
    'zero-holes': plan.zeroBytes + detectedZeroBytes,
    'no-zero': 0,
    // Never here: the sources are in another file system.
    clone: 0,
  }[plan.strategy];
  expect(zeroedBytes).to.equal(expected);
  expect(plan.strategy === 'no-zero').to.equal(known && !reserves);
  expect(plan.proof).to.equal(
    plan.strategy === 'no-zero'
      ? before === null
        ? 'created'
        : 'declared'
      : plan.strategy === 'zero-first'
        ? 'zeroed'
        : 'none',
  );
  for (const use of zeroed) expect(use.calls).to.be.greaterThan(0);
}

async function assertAllocation(
  result: JobResult,
  target: StorageTarget,
  allocation: Allocation,
  scenario: Scenario,
): Promise<void> {
  const occupied = await allocatedBytes(target.backing);
  const { imageSize, larger = 0, options = {}, before } = scenario;
  if (allocation === 'preallocated') {
    // A device that is said to be zero keeps whatever allocation it has.
    expect(occupied).to.be.at.least(imageSize + larger);
    return;
  }
  // What was allocated before, and need not be zeroed, stays.
  if (before === 0) return;
  // A storage that cannot punch holes has to write.
  if (result.zeroed.some((use) => use.method === 'write-zeroes' && use.bytes > MiB)) return;
  const kept = options.zeroTail === false ? larger : 0;
  expect(occupied).to.be.within(result.copiedBytes, result.copiedBytes + kept + MiB / 2);
}
