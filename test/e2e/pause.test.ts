/** Jobs and batches that are paused, resumed, interrupted: what was done is not done again, and nothing is lost. */

import { expect } from 'chai';
import type { BatchView } from '../../shared/schemas/batch.js';
import type { JobPhase, JobRequestInput, JobView, Target, TargetInput } from '../../shared/schemas/job.js';
import { storageName } from '../../shared/storage-name.js';
import { loadNative } from '../../workers/native/index.js';
import { assertSameBytes, assertZero, fill, makeImage } from '../helpers/bytes.js';
import { imageChecksum } from '../helpers/checksum.js';
import { hasCommand } from '../helpers/command.js';
import { writtenBytes } from '../helpers/device-writes.js';
import { Fleet, type FleetNode } from '../helpers/fleet.js';
import { attachLoop, hasLoopDevices, type LoopDevice } from '../helpers/loop.js';
import { memoryDisk, needsMemoryDisk } from '../helpers/memory-disk.js';
import { needs } from '../helpers/needs.js';
import { hasOpen } from '../helpers/processes.js';
import { type TempDir, tempDir } from '../helpers/temp.js';
import { injectFaults } from '../helpers/tracer.js';
import { until } from '../integration/cli/programs.js';

const MiB = 1024 * 1024;
const SIZE = 48 * MiB;
const SLOW = 8 * MiB;
const needsTracedLoop = needs(hasLoopDevices && hasCommand('strace'), 'root, a free loop device and strace');

describe('a job that is paused', function () {
  this.timeout(60_000);
  let dir: TempDir;
  let fleet: Fleet;
  let node: FleetNode;

  before(async () => {
    dir = await tempDir();
    await makeImage(dir.join('data.img'), SIZE, [{ start: 0, length: SIZE, seed: 1 }]);
    await makeImage(dir.join('holes.img'), SIZE, [{ start: SIZE - 4 * MiB, length: 2 * MiB, seed: 2 }]);
    fleet = await Fleet.start({ roots: [dir.path, '/dev'], leaseMs: 3000, env: { FERRY_THREADS: '4' } });
    node = await fleet.startNode('a');
  });

  after(async () => {
    await fleet?.[Symbol.asyncDispose]();
    await dir?.release();
  });

  const upload = (image: string, target: TargetInput, verify = false): JobRequestInput => ({
    kind: 'upload',
    source: { type: 'file', path: dir.join(image) },
    target,
    options: { bandwidthBytesPerSecond: SLOW, verify },
  });
  const onto = ({ path }: { path: string }) => ({ type: 'block' as const, path });

  /** Submits a job and pauses it in that phase, when it has done some of it. */
  async function pauseIn(phase: JobPhase, request: JobRequestInput, done = 6 * MiB): Promise<JobView> {
    const { id } = await fleet.api.submit(request);
    await fleet.api.until(id, (job) => job.phase === phase && (job.progress?.doneBytes ?? 0) > done);
    await fleet.api.ask(id, 'pause');
    return await fleet.api.paused(id);
  }

  /** Lets it go on, at full speed. */
  async function finish(id: string): Promise<JobView> {
    await fleet.api.ask(id, 'resume');
    await fleet.api.change(id, { bandwidthBytesPerSecond: null });
    const job = await fleet.api.ended(id);
    expect(job.state, JSON.stringify(job.error)).to.equal('completed');
    return job;
  }

  /** Every byte was done once, before the pause or after it. @returns bytes written after it */
  function expectResumed({ result, progress }: JobView): number {
    expect(result?.resumedBytes).to.be.greaterThan(0);
    const zeroed = result?.zeroed.reduce((sum, use) => sum + use.bytes, 0) ?? 0;
    const written = (result?.copiedBytes ?? 0) + zeroed;
    // A zero over all covers what is copied later as well.
    const twice = result?.plan?.strategy === 'zero-first' ? (progress?.dataBytes ?? 0) : 0;
    const total = progress?.totalBytes ?? 0;
    expect(written + (result?.resumedBytes ?? 0)).to.be.within(total, total + twice);
    return written;
  }

  /** Whether a program of this machine could write to it now, as our own jobs do: alone. */
  function isFree(path: string): boolean {
    const native = loadNative();
    const { O_RDWR, O_EXCL } = native.constants;
    let fd: number;
    try {
      fd = native.open(path, O_RDWR | O_EXCL);
    } catch {
      return false;
    }
    try {
      native.lockFile(fd, true);
      return true;
    } catch {
      return false;
    } finally {
      native.close(fd);
    }
  }

  const checks: Record<string, (disk: LoopDevice) => [JobPhase, JobRequestInput]> = {
    'while it copies': (disk) => ['copying', upload('data.img', onto(disk))],
    'while it zeroes': (disk) => ['zeroing', upload('holes.img', onto(disk))],
    'while it only zeroes': (disk) => [
      'zeroing',
      { kind: 'zero', target: onto(disk), options: { bandwidthBytesPerSecond: SLOW } },
    ],
  };
  for (const [when, request] of Object.entries(checks)) {
    needsMemoryDisk(`${when} writes nothing until it is resumed, and then nothing twice`, async () => {
      await using disk = await memoryDisk(SIZE);
      const [phase, body] = request(disk);
      const paused = await pauseIn(phase, body);
      expect(paused).to.include({ state: 'paused', phase: null, requested: null, attempt: 1 });
      const written = writtenBytes(disk.path);
      expect(hasOpen(node.pid, disk.path), 'the node has let go of the target').to.equal(false);
      expect(isFree(disk.path), 'so may everybody else have it').to.equal(true);

      const job = await finish(paused.id);
      const again = expectResumed(job);
      expect(writtenBytes(disk.path) - written, 'as the kernel counted it').to.equal(again);
      if (body.kind === 'upload') await assertSameBytes(storageName(body.source), disk.path);
      else await assertZero(disk.path, 0, SIZE);
    });
  }

  needsTracedLoop('while it copies over what it zeroed first does not zero again', async () => {
    // So many holes, and calls so slow, that one zero over all is quicker; done again it would take what was copied.
    const [unit, hole] = [MiB, 128 * 1024];
    const segments = Array.from({ length: 40 }, (_, n) => ({ start: n * unit, length: unit - hole, seed: n }));
    await makeImage(dir.join('many.img'), SIZE, segments);
    await using disk = await attachLoop({ size: SIZE });
    await fill(disk.path, { start: 0, length: SIZE, seed: 3 });
    await using slow = await injectFaults(node.pid, 'fallocate:delay_enter=20000');
    const { id } = await pauseIn('copying', upload('many.img', onto(disk)), 20 * MiB);
    await slow.detach();
    const job = await finish(id);
    expect(job.result?.plan?.strategy).to.equal('zero-first');
    expect(job.result?.zeroed).to.deep.equal([]);
    expectResumed(job);
    await assertSameBytes(dir.join('many.img'), disk.path);
  });

  it('while it verifies does not copy again', async () => {
    const target = dir.join('verified.img');
    const { id } = await fleet.api.submit(upload('data.img', { type: 'file', path: target }, true));
    await fleet.api.until(id, (job) => job.phase === 'verifying');
    await fleet.api.ask(id, 'pause');
    await fleet.api.paused(id);
    const job = await finish(id);
    expect(job.result).to.include({ copiedBytes: 0, resumedBytes: SIZE });
    expect(job.result?.checksum?.checksum).to.equal(await imageChecksum(dir.join('data.img')));
    expect(job.progress?.percent).to.equal(100);
  });

  it('stays paused when everything is started anew, and goes on from there', async () => {
    const target = dir.join('restarted.img');
    const { id } = await pauseIn('copying', upload('data.img', { type: 'file', path: target }));
    expect(isFree(target)).to.equal(true);
    await fleet.endAll('SIGTERM');
    await fleet.redis.kill();
    await fleet.redis.start();
    await fleet.startApi();
    node = await fleet.startNode('b');
    // Whatever the node was going to do by itself it has done when it has run another job.
    const other = upload('holes.img', { type: 'file', path: dir.join('other.img') });
    expect((await fleet.api.ended((await fleet.api.submit(other)).id)).state).to.equal('completed');
    expect(await fleet.api.job(id)).to.include({ state: 'paused', attempt: 1 });
    expectResumed(await finish(id));
    await assertSameBytes(dir.join('data.img'), target);
  });

  it('is canceled at once, and a retry goes on from there', async () => {
    const target = dir.join('canceled.img');
    const { id } = await pauseIn('copying', upload('data.img', { type: 'file', path: target }));
    expect((await fleet.api.cancel(id)).state).to.equal('canceled');
    await fleet.api.ask(id, 'retry');
    await fleet.api.change(id, { bandwidthBytesPerSecond: null });
    expectResumed(await fleet.api.ended(id));
    await assertSameBytes(dir.join('data.img'), target);
  });

  it('goes on when the pause is withdrawn at once, however often', async () => {
    const target = dir.join('withdrawn.img');
    const { id } = await fleet.api.submit(upload('data.img', { type: 'file', path: target }));
    await fleet.api.until(id, (job) => (job.progress?.doneBytes ?? 0) > 0);
    for (let n = 0; n < 10; n += 1) {
      await fleet.api.ask(id, 'pause');
      await new Promise((resolve) => setTimeout(resolve, n * 5));
      await fleet.api.ask(id, 'resume');
      await fleet.api.until(id, (job) => job.state === 'active' && job.requested === null);
    }
    await fleet.api.change(id, { bandwidthBytesPerSecond: null });
    const job = await fleet.api.ended(id);
    expect(job.state, JSON.stringify(job.error)).to.equal('completed');
    await assertSameBytes(dir.join('data.img'), target);
  });

  it('that runs on a node which is told to end is no exception: the next start goes on from its checkpoint', async () => {
    const target = dir.join('ended.img');
    const { id } = await fleet.api.submit(upload('data.img', { type: 'file', path: target }));
    await fleet.api.until(id, (job) => (job.progress?.doneBytes ?? 0) > 6 * MiB);
    expect(await node.end('SIGTERM')).to.equal(0);
    expect(await fleet.api.job(id)).to.include({ state: 'queued', attempt: 1 });
    await fleet.api.change(id, { bandwidthBytesPerSecond: null });
    node = await fleet.startNode('c');
    const job = await fleet.api.ended(id);
    expect(job).to.include({ state: 'completed', node: 'c', attempt: 2 });
    expectResumed(job);
    await assertSameBytes(dir.join('data.img'), target);
  });

  it('with its batch lets go of its target, and what waits waits on', async () => {
    const disk = (n: number) => ({
      source: { type: 'file' as const, path: dir.join('data.img') },
      target: { type: 'file' as const, path: dir.join(`disk-${n}.img`) },
      options: { bandwidthBytesPerSecond: SLOW },
    });
    const vms = [{ name: 'web', disks: [0, 1, 2, 3].map(disk) }];
    const { id } = await fleet.api.send<{ id: string }>('POST', '/v1/batches', {
      name: 'wave',
      vms,
      maxConcurrentDisks: 2,
    });
    const batch = () => fleet.api.send<BatchView>('GET', `/v1/batches/${id}`);
    const states = async () => (await batch()).vms.flatMap((vm) => vm.disks.map((disk) => disk.state));
    await until(
      'two disks are copied',
      async () =>
        (await batch()).vms.flatMap((vm) => vm.disks).filter((disk) => (disk.progress?.doneBytes ?? 0) > 0).length ===
        2,
    );
    await fleet.api.send('POST', `/v1/batches/${id}/pause`);
    await until('the batch is paused', async () => (await batch()).state === 'paused');
    expect(await states()).to.have.members(['paused', 'paused', 'queued', 'queued']);
    for (const n of [0, 1]) expect(hasOpen(node.pid, dir.join(`disk-${n}.img`))).to.equal(false);

    await fleet.api.send('POST', `/v1/batches/${id}/resume`);
    for (const disk of (await batch()).vms.flatMap((vm) => vm.disks)) {
      await fleet.api.change(disk.jobId, { bandwidthBytesPerSecond: null });
    }
    await until('the batch is completed', async () => (await batch()).state === 'completed', 30_000);
    const disks = (await batch()).vms.flatMap((vm) => vm.disks);
    const jobs = await Promise.all(disks.map(({ jobId }) => fleet.api.job(jobId)));
    expect(jobs.map(({ attempt }) => attempt)).to.have.members([2, 2, 1, 1]);
    for (const job of jobs.filter(({ attempt }) => attempt === 2)) expectResumed(job);
    for (const { target } of jobs) await assertSameBytes(dir.join('data.img'), storageName(target as Target));
  });
});
