/** Source and target in one file system that can share blocks: nothing is copied, and everything else holds as ever. */
import { mkdir } from 'node:fs/promises';
import { expect } from 'chai';
import type { JobRun } from '../../../services/transfer/job.js';
import { UNSHARED } from '../../../services/transfer/owner.js';
import { FerryError } from '../../../shared/errors.js';
import type { Checkpoint } from '../../../shared/queue/checkpoint.js';
import type { UploadOptions } from '../../../shared/schemas/job.js';
import { GiB, MiB } from '../../../shared/units.js';
import type { Workers } from '../../../workers/pool.js';
import { allocatedBytes, assertSameBytes, assertZero, makeImage } from '../../helpers/bytes.js';
import { run } from '../../helpers/command.js';
import { failure } from '../../helpers/failure.js';
import { mountFileSystem, needsFileSystem } from '../../helpers/mounts.js';
import { fillWith } from '../../helpers/storage-kinds.js';
import { tempDir } from '../../helpers/temp.js';
import { jobRun, runJob, startWorkers } from '../../helpers/transfer.js';

const PAGE = 4096;
const SIZE = 40 * MiB + 777;
const DATA = [
  { start: 0, length: 3 * MiB, seed: 1 },
  { start: 20 * MiB + PAGE, length: 5 * MiB, seed: 2 },
  { start: SIZE - 1000, length: 1000, seed: 3 },
];

describe('storage: cloning', function () {
  this.timeout(60_000);
  let workers: Workers;

  before(() => {
    workers = startWorkers(4);
  });
  after(() => workers.close());

  const upload = (job: JobRun, from: string, to: string, options: Partial<UploadOptions> = {}) =>
    runJob(job, {
      kind: 'upload',
      source: { type: 'file', path: from },
      target: { type: 'file', path: to },
      options: { allocation: 'sparse', ...options },
    });

  for (const type of ['xfs', 'btrfs'] as const) {
    needsFileSystem(type)(`a new file on ${type} shares the blocks of its source, and its holes`, async () => {
      await using fs = await mountFileSystem(type);
      const [image, target] = [`${fs.path}/image`, `${fs.path}/target`];
      await makeImage(image, SIZE, DATA);
      const result = await upload(jobRun(workers, [fs.path]), image, target, { verify: true });
      expect(result.plan?.strategy).to.equal('clone');
      expect(result.clonedBytes).to.equal(SIZE - 777);
      expect(result.copiedBytes + result.detectedZeroBytes, 'the part of a block').to.equal(777);
      expect(await allocatedBytes(target)).to.be.within(0, (await allocatedBytes(image)) + MiB / 2);
      expect(await sharedExtents(target)).to.be.greaterThan(0);
      await assertSameBytes(image, target);
    });

    needsFileSystem(type)(`nothing is left of a larger file on ${type} that was full of old data`, async () => {
      await using fs = await mountFileSystem(type);
      const [image, target] = [`${fs.path}/image`, `${fs.path}/target`];
      await makeImage(image, SIZE, DATA);
      await fillWith(target, SIZE + 3 * MiB, 0xff);
      const progress: JobRun = jobRun(workers, [fs.path]);
      const result = await upload(progress, image, target, { verify: true });
      expect(result.plan?.strategy).to.equal('clone');
      expect(progress.progress.sample()?.percent).to.equal(100);
      await assertSameBytes(image, target, SIZE);
      await assertZero(target, SIZE, 3 * MiB);
    });
  }

  needsFileSystem('xfs')('a target that shall have space of its own is copied', async () => {
    await using fs = await mountFileSystem('xfs');
    await makeImage(`${fs.path}/image`, SIZE, DATA);
    const result = await upload(jobRun(workers, [fs.path]), `${fs.path}/image`, `${fs.path}/target`, {
      allocation: 'preallocated',
    });
    expect(result.plan?.strategy).to.not.equal('clone');
    expect(result.clonedBytes).to.equal(0);
    expect(await sharedExtents(`${fs.path}/target`)).to.equal(0);
    await assertSameBytes(`${fs.path}/image`, `${fs.path}/target`);
  });

  it('between file systems it is refused, and the image is copied', async () => {
    await using dir = await tempDir();
    await mkdir(dir.join('in'));
    await makeImage(dir.join('in/image'), SIZE, DATA);
    await using fs = await mountFileSystem('tmpfs');
    const result = await upload(jobRun(workers, [dir.path, fs.path]), dir.join('in/image'), `${fs.path}/target`);
    expect(result.plan?.strategy).to.equal('no-zero');
    expect(result.clonedBytes).to.equal(0);
    await assertSameBytes(dir.join('in/image'), `${fs.path}/target`);
  });

  it('what is refused after all is copied, and its holes stay holes', async () => {
    await using dir = await tempDir();
    await makeImage(dir.join('image'), SIZE, DATA);
    await fillWith(dir.join('target'), SIZE, 0xff);
    // As if the file system had agreed at first: what follows asks the real one, which does not.
    const agreed = replacing(workers, 'canClone', async () => true);
    await using fs = await mountFileSystem('tmpfs');
    await run('cp', [dir.join('target'), `${fs.path}/target`]);
    const result = await upload(jobRun(agreed, [dir.path, fs.path]), dir.join('image'), `${fs.path}/target`);
    expect(result.plan?.strategy).to.equal('clone');
    expect(result.clonedBytes).to.equal(0);
    await assertSameBytes(dir.join('image'), `${fs.path}/target`);
    expect(await allocatedBytes(`${fs.path}/target`)).to.be.lessThan(10 * MiB);
  });

  needsFileSystem('xfs')('goes on with cloning where an earlier attempt ended', async () => {
    await using fs = await mountFileSystem('xfs');
    const [image, target] = [`${fs.path}/image`, `${fs.path}/target`];
    const size = 5 * GiB;
    await makeImage(image, size, [
      { start: 0, length: MiB, seed: 1 },
      { start: 2 * GiB, length: MiB, seed: 2 },
      { start: size - MiB, length: MiB, seed: 3 },
    ]);
    let checkpoint: Checkpoint | null = null;
    const keep = async (next: Checkpoint | null) => {
      checkpoint = next;
    };
    const recorded = () => (checkpoint as Checkpoint | null)?.copied[1] ?? 0;
    const attempt = (number: number, by: Workers): JobRun => ({
      ...jobRun(by, [fs.path], 10),
      attempt: number,
      checkpoint,
      owner: { ...UNSHARED, hold: async () => true, begin: keep, save: keep },
    });
    let steps = 0;
    const failing = replacing(workers, 'copy', async (original) => {
      steps += 1;
      if (steps <= 2) return await original();
      while (recorded() === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      throw new FerryError('STORAGE_FULL', 'bad luck');
    });
    expect((await failure(() => upload(attempt(1, failing), image, target))).code).to.equal('STORAGE_FULL');
    const result = await upload(attempt(2, workers), image, target);
    expect(result.plan?.strategy).to.equal('clone');
    expect(result.resumedBytes).to.be.at.least(GiB);
    expect(result.clonedBytes).to.equal(size - result.resumedBytes);
    // Unlike cmp it does not read 10 GiB of holes.
    await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, target]);
  });
});

/** The same workers, one of whose tasks is somebody else's. */
function replacing(workers: Workers, name: string, instead: (original: () => Promise<unknown>) => Promise<unknown>) {
  const runTask = (task: never, input: never) =>
    task === name ? instead(() => workers.run(task, input)) : workers.run(task, input);
  return new Proxy(workers, {
    get: (target, key) => (key === 'run' ? runTask : Reflect.get(target, key, target)),
  });
}

/** How many extents of a file it has in common with another. */
async function sharedExtents(path: string): Promise<number> {
  return (await run('filefrag', ['-v', path])).split('\n').filter((line) => /\bshared\b/.test(line)).length;
}
