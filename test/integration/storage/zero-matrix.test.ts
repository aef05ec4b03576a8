/** The storage matrix for zero jobs: whole targets and odd ranges, on every kind of storage. */
import { statSync } from 'node:fs';
import { expect } from 'chai';
import { MiB } from '../../../shared/units.js';
import type { Workers } from '../../../workers/pool.js';
import { allocatedBytes, assertZero } from '../../helpers/bytes.js';
import { assertFilledWith, type PreparedStorage, STORAGE_KINDS } from '../../helpers/storage-kinds.js';
import { jobRun, openPaths, runJob, startWorkers } from '../../helpers/transfer.js';

const ALIGNED = 12 * MiB;
const ODD = 11 * MiB + 1234;
/** Unaligned, inside one sector, at the start and at the very end; two of them overlap. */
const RANGES = [
  { start: 0, length: 1 },
  { start: 3 * MiB + 100, length: 2 * MiB },
  { start: 4 * MiB, length: 2 * MiB + 5 },
  { start: 8 * MiB + 513, length: 7 },
  { start: ODD - 5000, length: 5000 },
];

for (const kind of STORAGE_KINDS) {
  describe(`storage matrix: zero ${kind.name}`, function () {
    this.timeout(60_000);
    let workers: Workers;
    let storage: PreparedStorage | undefined;

    before(() => {
      workers = startWorkers();
    });
    after(async () => {
      await workers.close();
      await storage?.[Symbol.asyncDispose]();
    });

    for (const allocation of ['preallocated', 'sparse'] as const) {
      for (const size of [ALIGNED, ODD]) {
        kind.declare(`${allocation}, all of ${size} dirty bytes`, async () => {
          storage ??= await kind.prepare();
          await using target = await storage.target(size, 0xff);
          const open = openPaths();
          const run = jobRun(workers, [target.root]);
          const result = await runJob(run, {
            kind: 'zero',
            target: { type: target.type, path: target.path },
            options: { allocation },
          });
          expect(openPaths()).to.deep.equal(open);
          await assertZero(target.path, 0, target.size);
          expect(run.progress.sample()).to.include({ percent: 100, totalBytes: target.size });
          expect(total(result.zeroed)).to.equal(target.size);
          if (target.type === 'file') expect(statSync(target.path).size).to.equal(target.size);
          const occupied = await allocatedBytes(target.backing);
          if (allocation === 'preallocated') expect(occupied).to.be.at.least(size);
          else if (!result.zeroed.some((use) => use.method === 'write-zeroes')) expect(occupied).to.be.below(MiB / 2);
        });
      }

      kind.declare(`${allocation}, odd ranges; their neighbours keep every byte`, async () => {
        storage ??= await kind.prepare();
        await using target = await storage.target(ODD, 0xff);
        const result = await runJob(jobRun(workers, [target.root]), {
          kind: 'zero',
          target: { type: target.type, path: target.path },
          ranges: RANGES,
          options: { allocation },
        });
        let position = 0;
        let zeroed = 0;
        for (const { start, length } of [...RANGES, { start: target.size, length: 0 }]) {
          if (start > position) await assertFilledWith(target.path, position, start - position, 0xff);
          await assertZero(target.path, start, length);
          zeroed += Math.max(0, start + length - Math.max(start, position));
          position = Math.max(position, start + length);
        }
        expect(total(result.zeroed)).to.equal(zeroed);
        if (allocation === 'preallocated') expect(await allocatedBytes(target.backing)).to.be.at.least(ODD);
      });

      if (kind.type === 'file') {
        kind.declare(`${allocation}, a file that is not there yet`, async () => {
          storage ??= await kind.prepare();
          await using target = await storage.target(ODD, null);
          await runJob(jobRun(workers, [target.root]), {
            kind: 'zero',
            target: { type: 'file', path: target.path, size: ODD },
            options: { allocation },
          });
          expect(statSync(target.path).size).to.equal(ODD);
          await assertZero(target.path, 0, ODD);
          const occupied = await allocatedBytes(target.path);
          if (allocation === 'preallocated') expect(occupied).to.be.at.least(ODD);
          else expect(occupied).to.be.below(MiB / 2);
        });
      }
    }
  });
}

function total(uses: readonly { readonly bytes: number }[]): number {
  return uses.reduce((sum, use) => sum + use.bytes, 0);
}
