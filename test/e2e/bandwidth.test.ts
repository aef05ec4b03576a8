/**
 * Limits of bytes a second, measured as the kernel counts what is written to real devices: they hold within a tenth,
 * for a job and for a node, and a change of them is felt within a second.
 */
import { expect } from 'chai';
import type { JobRequestInput, JobView } from '../../shared/schemas/job.js';
import { assertSameBytes, makeImage } from '../helpers/bytes.js';
import { writtenBytes } from '../helpers/device-writes.js';
import { memoryDisk, needsMemoryDisk } from '../helpers/memory-disk.js';
import { type Service, startService } from '../helpers/service.js';
import { type TempDir, tempDir } from '../helpers/temp.js';

const MiB = 1024 * 1024;
const KiB = 1024;
const SIZE = 48 * MiB;
const LARGE = 256 * MiB;
/** How long a change may take to be felt. */
const HEARD_MS = 1000;
const MEASURED_MS = 4000;
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('a limit of bytes a second', function () {
  this.timeout(60_000);
  let dir: TempDir;

  before(async () => {
    dir = await tempDir();
    await makeImage(dir.join('data.img'), SIZE, [{ start: 0, length: SIZE, seed: 1 }]);
    await makeImage(dir.join('large.img'), LARGE, [{ start: 0, length: LARGE, seed: 2 }]);
  });

  after(async () => {
    await dir?.release();
  });

  const serve = (env: Record<string, string> = {}) => startService({ roots: [dir.path, '/dev'], env });

  const upload = (image: string, path: string, bandwidthBytesPerSecond: number | null): JobRequestInput => ({
    kind: 'upload',
    source: { type: 'file', path: dir.join(image) },
    target: { type: 'block', path },
    options: { bandwidthBytesPerSecond },
  });

  function expectRate(bytes: number, ms: number, limit: number): void {
    expect((bytes / ms) * 1000).to.be.within(limit * 0.9, limit * 1.1);
  }

  /** Bytes a second that reach the device in the next seconds. */
  async function rateOf(device: string): Promise<[bytes: number, ms: number]> {
    const [bytes, ms] = [writtenBytes(device), performance.now()];
    await sleep(MEASURED_MS);
    return [writtenBytes(device) - bytes, performance.now() - ms];
  }

  async function completed(service: Service, id: string): Promise<JobView> {
    const job = await service.ended(id);
    expect(job.state, JSON.stringify(job.error)).to.equal('completed');
    return job;
  }

  needsMemoryDisk('holds for the data of a job', async () => {
    await using disk = await memoryDisk(SIZE);
    await using service = await serve();
    const { id } = await service.submit(upload('data.img', disk.path, 8 * MiB));
    const job = await completed(service, id);
    expectRate(SIZE, job.result?.phases.copying ?? 0, 8 * MiB);
  });

  needsMemoryDisk('holds for zeroes that have to be written', async () => {
    await using disk = await memoryDisk(SIZE);
    await using service = await serve();
    const options = { bandwidthBytesPerSecond: 8 * MiB };
    const { id } = await service.submit({ kind: 'zero', target: { type: 'block', path: disk.path }, options });
    const job = await completed(service, id);
    expectRate(SIZE, job.result?.phases.zeroing ?? 0, 8 * MiB);
  });

  it('costs zeroes nothing that the storage makes by itself', async () => {
    await using service = await serve();
    const target = { type: 'file' as const, path: dir.join('zeroes.img'), size: 1024 * MiB };
    const options = { bandwidthBytesPerSecond: 64 * KiB, allocation: 'sparse' as const };
    const { id } = await service.submit({ kind: 'zero', target, options });
    // Four and a half hours, if the zeroes were counted.
    await completed(service, id);
  });

  needsMemoryDisk('is followed when it is changed while the job runs: up, down, and away', async () => {
    await using disk = await memoryDisk(LARGE);
    await using service = await serve();
    const { id } = await service.submit(upload('large.img', disk.path, 4 * MiB));
    await service.until(id, (job) => job.phase === 'copying' && (job.progress?.doneBytes ?? 0) > 0);
    for (const limit of [32 * MiB, 1 * MiB]) {
      await service.change(id, { bandwidthBytesPerSecond: limit });
      await sleep(HEARD_MS);
      expectRate(...(await rateOf(disk.path)), limit);
    }
    const { progress } = await service.job(id);
    const leftMs = ((LARGE - (progress?.doneBytes ?? 0)) / MiB) * 1000;
    await service.change(id, { bandwidthBytesPerSecond: null });
    const before = performance.now();
    await completed(service, id);
    expect(performance.now() - before, 'sooner than under the limit').to.be.below(leftMs / 3);
    await assertSameBytes(dir.join('large.img'), disk.path);
  });

  needsMemoryDisk('of a node holds for all its jobs together', async () => {
    await using one = await memoryDisk(LARGE);
    await using two = await memoryDisk(LARGE);
    await using three = await memoryDisk(LARGE);
    await using service = await serve({ FERRY_BANDWIDTH: `${16 * MiB}` });
    // One has a lower limit of its own; the others share the rest.
    const limits = new Map([
      [one.path, 2 * MiB],
      [two.path, null],
      [three.path, null],
    ]);
    const jobs = await Promise.all([...limits].map((limit) => service.submit(upload('large.img', ...limit))));
    await Promise.all(jobs.map(({ id }) => service.until(id, (job) => (job.progress?.doneBytes ?? 0) > 0)));
    const rates = await Promise.all([...limits.keys()].map(rateOf));
    const total = rates.reduce((sum, [bytes]) => sum + bytes, 0);
    expectRate(total, MEASURED_MS, 16 * MiB);
    const [bytes, ms] = rates[0] as [number, number];
    expect((bytes / ms) * 1000).to.be.at.most(2 * MiB * 1.1);
    for (const { id } of jobs) await service.cancel(id);
    for (const { id } of jobs) expect((await service.ended(id)).state).to.equal('canceled');
  });
});
