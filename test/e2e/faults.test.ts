/** Storage that fails under a running service: the right code, nothing hangs, and the service goes on. */

import { truncate, unlink } from 'node:fs/promises';
import { expect } from 'chai';
import type { ImportInput, TargetInput } from '../../shared/schemas/job.js';
import { assertSameBytes, fill, firstDifference, makeImage } from '../helpers/bytes.js';
import { hasCommand } from '../helpers/command.js';
import { attachLoop, needsLoop } from '../helpers/loop.js';
import { mountFileSystem, needsFileSystem } from '../helpers/mounts.js';
import { isRoot, needs } from '../helpers/needs.js';
import { injectFaults, type Service, startService } from '../helpers/service.js';
import { type TempDir, tempDir } from '../helpers/temp.js';

const MiB = 1024 * 1024;
const SIZE = 96 * MiB;
const needsTracing = needs(isRoot && hasCommand('strace'), 'root and strace');

describe('a job whose storage fails', function () {
  this.timeout(90_000);
  let dir: TempDir;
  let service: Service;
  let source: string;

  before(async () => {
    dir = await tempDir();
    source = dir.join('source.img');
    await makeImage(source, SIZE, [{ start: 0, length: SIZE - MiB, seed: 1 }]);
    service = await startService({
      roots: [dir.path, '/dev', '/tmp'],
      env: { FERRY_JOB_ATTEMPTS: '5', FERRY_THREADS: '4' },
    });
  });

  after(async () => {
    await service?.[Symbol.asyncDispose]();
    await dir?.release();
  });

  const upload = (path: string, target: TargetInput): ImportInput => ({
    kind: 'upload',
    source: { type: 'file', path },
    target,
  });

  needsLoop('fails with TARGET_TOO_SMALL before a byte is written', async () => {
    await using device = await attachLoop({ size: SIZE - MiB });
    const before = dir.join('before.img');
    await makeImage(before, SIZE - MiB, [{ start: 0, length: SIZE - MiB, seed: 7 }]);
    await fill(device.path, { start: 0, length: SIZE - MiB, seed: 7 });
    const { id } = await service.submit(upload(source, { type: 'block', path: device.path }));
    const job = await service.ended(id);
    expect(job.error?.code).to.equal('TARGET_TOO_SMALL');
    expect(await firstDifference(before, device.path)).to.equal(null);
  });

  needsFileSystem('tmpfs')('fails with STORAGE_FULL when the file system fills up halfway', async () => {
    await using fs = await mountFileSystem('tmpfs');
    const target = { type: 'file' as const, path: `${fs.path}/full.img` };
    const { id } = await service.submit({ ...upload(source, target), options: { allocation: 'sparse' } });
    const job = await service.ended(id);
    expect(job.error?.code).to.equal('STORAGE_FULL');
    expect(job.error?.errno).to.equal(28);
    expect(job.attempt, 'trying again would not make room').to.equal(1);
  });

  needsFileSystem('tmpfs')('fails with STORAGE_FULL when a thin device runs out of space', async () => {
    // The device is larger than the file system below it, as an overcommitted thin pool is.
    await using fs = await mountFileSystem('tmpfs');
    await using device = await attachLoop({ size: SIZE, backing: `${fs.path}/small.img` });
    const { id } = await service.submit(upload(source, { type: 'block', path: device.path }));
    const job = await service.ended(id);
    expect(job.state).to.equal('failed');
    expect(job.error?.code).to.equal('STORAGE_FULL');
    expect(job.attempt).to.equal(1);
  });

  needsLoop('fails with STORAGE_IO when a device reports errors each time it is tried', async () => {
    await using device = await attachLoop({ size: 8 * MiB });
    // What lies behind the end of its file is there for nobody: reads come back as I/O errors.
    await truncate(device.backing, 4 * MiB);
    const { id } = await service.submit(upload(device.path, { type: 'file', path: dir.join('of-broken.img') }));
    const job = await service.ended(id);
    expect(job.error?.code).to.equal('STORAGE_IO');
    expect(job.error?.errno).to.equal(5);
    expect(job.attempt).to.equal(5);
  });

  needsTracing('tries again after an I/O error that goes away', async () => {
    const target = dir.join('retried.img');
    // strace counts a thread's calls: each of the four fails once, so at the latest the fifth attempt is whole.
    await using _faults = await injectFaults(service.pid, 'pwrite64:error=EIO:when=10');
    const { id } = await service.submit(upload(source, { type: 'file', path: target }));
    const job = await service.ended(id);
    expect(job.state).to.equal('completed');
    expect(job.attempt).to.be.greaterThan(1);
    await assertSameBytes(source, target);
  });

  needsTracing('fails with FLUSH_FAILED when a flush fails, and never calls it durable', async () => {
    await using _faults = await injectFaults(service.pid, 'fdatasync:error=EIO');
    const { id } = await service.submit(upload(source, { type: 'file', path: dir.join('flush.img') }));
    const job = await service.ended(id);
    expect(job.error?.code).to.equal('FLUSH_FAILED');
    expect(job.error?.errno).to.equal(5);
    expect(job.progress?.durableBytes).to.equal(0);
  });

  needsTracing('fails with SOURCE_CHANGED when the source is cut short while it is read', async () => {
    const cut = dir.join('cut.img');
    await makeImage(cut, SIZE, [{ start: 0, length: SIZE, seed: 4 }]);
    await using slow = await injectFaults(service.pid, 'pwrite64:delay_enter=50000');
    const { id } = await service.submit(upload(cut, { type: 'file', path: dir.join('of-cut.img') }));
    await service.until(id, (job) => job.phase === 'copying' && (job.progress?.doneBytes ?? 0) > 0);
    await truncate(cut, MiB);
    await slow.detach();
    expect((await service.ended(id)).error?.code).to.equal('SOURCE_CHANGED');
  });

  needsTracing('fails with PATH_NOT_FOUND when the source vanished before it runs', async () => {
    const gone = dir.join('gone.img');
    await makeImage(gone, SIZE, [{ start: 0, length: SIZE, seed: 4 }]);
    await using slow = await injectFaults(service.pid, 'pwrite64:delay_enter=50000');
    const { id } = await service.submit(upload(gone, { type: 'file', path: dir.join('of-gone.img') }));
    await service.until(id, (job) => job.phase === 'copying');
    await service.fetch(`/v1/jobs/${id}`, { method: 'DELETE' });
    await service.ended(id);
    await slow.detach();
    await unlink(gone);
    expect((await service.fetch(`/v1/jobs/${id}/retry`, { method: 'POST' })).status).to.equal(202);
    const job = await service.ended(id);
    expect(job.state).to.equal('failed');
    expect(job.error?.code).to.equal('PATH_NOT_FOUND');
  });

  needsTracing('cancels a running job between two calls, and the target is free again', async () => {
    const target = { type: 'file' as const, path: dir.join('canceled.img') };
    await using slow = await injectFaults(service.pid, 'pwrite64:delay_enter=50000');
    const { id } = await service.submit(upload(source, target));
    await service.until(id, (job) => job.phase === 'copying');
    expect((await service.fetch(`/v1/jobs/${id}`, { method: 'DELETE' })).status).to.equal(202);
    expect((await service.ended(id)).state).to.equal('canceled');
    await slow.detach();
    const again = await service.fetch(`/v1/jobs/${id}/retry`, { method: 'POST' });
    expect(again.status).to.equal(202);
    expect((await service.ended(id)).state).to.equal('completed');
    await assertSameBytes(source, target.path);
  });

  needsTracing('refuses a second job on a target that is being written', async () => {
    const target = { type: 'file' as const, path: dir.join('shared.img') };
    await using slow = await injectFaults(service.pid, 'pwrite64:delay_enter=150000');
    const first = await service.submit(upload(source, target));
    await service.until(first.id, (job) => job.phase === 'copying');
    const second = await service.submit(upload(source, target));
    expect((await service.ended(second.id)).error?.code).to.equal('TARGET_BUSY');
    await slow.detach();
    expect((await service.ended(first.id)).state).to.equal('completed');
    await assertSameBytes(source, target.path);
  });
});
