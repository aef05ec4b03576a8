/** A dry run finds what a job would find, and leaves everything as it was: bytes, sizes, locks, names. */
import { readdir, stat } from 'node:fs/promises';
import { expect } from 'chai';
import { planJob } from '../../../services/transfer/dry-run.js';
import { JobRequest, type JobRequestInput, type Plan } from '../../../shared/schemas/job.js';
import { MiB } from '../../../shared/units.js';
import type { Workers } from '../../../workers/pool.js';
import { makeImage } from '../../helpers/bytes.js';
import { failure } from '../../helpers/failure.js';
import { attachLoop, needsLoop } from '../../helpers/loop.js';
import { assertFilledWith, fillWith } from '../../helpers/storage-kinds.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';
import { beforeFirst, jobRun, openPaths, runJob, startWorkers } from '../../helpers/transfer.js';

const SIZE = 8 * MiB;

describe('storage: dry run', function () {
  this.timeout(30_000);
  let workers: Workers;
  let dir: TempDir;

  before(() => {
    workers = startWorkers(2);
  });
  after(() => workers.close());
  beforeEach(async () => {
    dir = await tempDir();
    await makeImage(dir.join('image'), SIZE, [{ start: MiB, length: MiB }]);
  });
  afterEach(() => dir.release());

  async function plan(input: JobRequestInput, ...roots: string[]): Promise<Plan> {
    const opened = openPaths();
    try {
      return await planJob(workers, { roots: [dir.path, ...roots], nbdHosts: [] }, JobRequest.parse(input));
    } finally {
      expect(openPaths()).to.deep.equal(opened);
    }
  }

  function upload(type: 'file' | 'block', path: string, size?: number): JobRequestInput {
    const target = type === 'file' && size !== undefined ? { type, path, size } : { type, path };
    return { kind: 'upload', source: { type: 'file', path: dir.join('image') }, target };
  }

  it('makes no file', async () => {
    const found = await plan(upload('file', dir.join('new')));
    expect(found).to.include({
      imageBytes: SIZE,
      targetBytes: SIZE,
      dataBytes: MiB,
      zeroBytes: SIZE - MiB,
      extents: 1,
    });
    expect(await readdir(dir.path)).to.deep.equal(['image']);
  });

  it('plans what the job then does, where nothing is to be measured', async () => {
    const request = { ...upload('file', dir.join('new')), options: { allocation: 'sparse' } } as JobRequestInput;
    const planned = await plan(request);
    const { plan: done } = await runJob(jobRun(workers, [dir.path]), request);
    expect(done).to.deep.equal(planned);
    expect(done).to.include({ strategy: 'no-zero', proof: 'created' });
  });

  it('changes neither the size nor a byte nor the time of an existing file', async () => {
    await fillWith(dir.join('old'), MiB, 0xff);
    const before = await stat(dir.join('old'), { bigint: true });
    const found = await plan(upload('file', dir.join('old'), 10 * MiB));
    expect(found).to.include({ targetBytes: 10 * MiB, tailBytes: 2 * MiB });
    const { size, mtimeNs } = await stat(dir.join('old'), { bigint: true });
    expect({ size, mtimeNs }).to.deep.equal({ size: before.size, mtimeNs: before.mtimeNs });
    await assertFilledWith(dir.join('old'), 0, MiB, 0xff);
  });

  needsLoop('changes no byte of a device', async () => {
    await using device = await attachLoop({ size: SIZE + MiB, sectorSize: 4096 });
    await fillWith(device.path, device.size, 0xff);
    const found = await plan(upload('block', device.path), device.path);
    expect(found).to.include({ sectorSize: 4096, targetBytes: SIZE + MiB, tailBytes: MiB, strategy: 'zero-first' });
    const zero: JobRequestInput = { kind: 'zero', target: { type: 'block', path: device.path } };
    expect(await plan(zero, device.path)).to.include({ zeroBytes: SIZE + MiB });
    await assertFilledWith(device.path, 0, device.size, 0xff);
  });

  it('fails as the job would: too small, the source itself, outside, ranges outside', async () => {
    await fillWith(dir.join('old'), MiB, 0xff);
    const zero = { kind: 'zero', target: { type: 'file', path: dir.join('old') } } as const;
    for (const [request, code] of [
      [upload('file', dir.join('new'), SIZE - 1), 'TARGET_TOO_SMALL'],
      [upload('file', dir.join('image')), 'TARGET_IS_SOURCE'],
      [upload('file', '/etc/new'), 'PATH_FORBIDDEN'],
      [{ ...zero, ranges: [{ start: MiB - 1, length: 2 }] }, 'RANGE_OUTSIDE_TARGET'],
    ] as const) {
      const planned = await failure(() => plan(request as JobRequestInput));
      const run = await failure(() => runJob(jobRun(workers, [dir.path]), request as JobRequestInput));
      expect([planned.code, run.code]).to.deep.equal([code, code]);
    }
  });

  it('sees that another job writes the target', async () => {
    const busy = beforeFirst(workers, 'copy', async () => {
      expect(
        (
          await failure(() =>
            planJob(workers, { roots: [dir.path], nbdHosts: [] }, JobRequest.parse(upload('file', dir.join('x')))),
          )
        ).code,
      ).to.equal('TARGET_BUSY');
    });
    await runJob(jobRun(busy, [dir.path]), upload('file', dir.join('x')));
  });
});

describe('storage: a zero job with a range outside its target', () => {
  it('neither makes a file nor cuts an old one', async () => {
    // Symptom: an old file was cut to the size that was asked for, and then the job was refused. Cause: the ranges
    // were compared with the size after the target had been opened, which makes and resizes it.
    await using dir = await tempDir();
    await fillWith(dir.join('old'), 2 * MiB, 0xff);
    const workers = startWorkers(1);
    for (const name of ['old', 'new']) {
      const job = runJob(jobRun(workers, [dir.path]), {
        kind: 'zero',
        target: { type: 'file', path: dir.join(name), size: MiB },
        ranges: [{ start: MiB, length: 1 }],
      });
      expect((await failure(() => job)).code).to.equal('RANGE_OUTSIDE_TARGET');
    }
    await workers.close();
    expect(await readdir(dir.path)).to.deep.equal(['old']);
    await assertFilledWith(dir.join('old'), 0, 2 * MiB, 0xff);
  });
});
