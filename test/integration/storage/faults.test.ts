/** Storage that fails, and sources that change, while a job runs: the right code, nothing hangs, nothing stays open. */
import { open, rename, stat, truncate, unlink, utimes } from 'node:fs/promises';
import { expect } from 'chai';
import type { FerryError } from '../../../shared/errors.js';
import { MiB } from '../../../shared/units.js';
import type { Workers } from '../../../workers/pool.js';
import { assertSameBytes, fill, makeImage } from '../../helpers/bytes.js';
import { run } from '../../helpers/command.js';
import { failure } from '../../helpers/failure.js';
import { attachLoop, needsLoop } from '../../helpers/loop.js';
import { mountFileSystem, needsFileSystem } from '../../helpers/mounts.js';
import { fillWith } from '../../helpers/storage-kinds.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';
import { beforeFirst, jobRun, openPaths, runJob, startWorkers } from '../../helpers/transfer.js';

const SIZE = 24 * MiB;

describe('storage: faults while a job runs', function () {
  this.timeout(60_000);
  let workers: Workers;
  let dir: TempDir;
  let opened: string[];

  before(() => {
    workers = startWorkers(4);
  });
  after(() => workers.close());

  beforeEach(async () => {
    dir = await tempDir();
    await makeImage(dir.join('image'), SIZE, [{ start: 0, length: SIZE - MiB }]);
    opened = openPaths();
  });
  afterEach('no descriptor is left open, no buffer is kept', async () => {
    expect(openPaths()).to.deep.equal(opened);
    expect(workers.buffers.inUse).to.equal(0);
    await dir.release();
  });

  interface Job {
    readonly workers?: Workers;
    readonly type?: 'file' | 'block';
    readonly path?: string;
    readonly source?: string;
    readonly root?: string;
    readonly options?: object;
  }

  function upload(job: Job = {}) {
    const { type = 'file', path = dir.join('target'), source = dir.join('image'), root = dir.path, options = {} } = job;
    return runJob(jobRun(job.workers ?? workers, [dir.path, root]), {
      kind: 'upload',
      source: { type: 'file', path: source },
      target: { type, path },
      options,
    });
  }

  for (const type of ['tmpfs', 'ext4', 'xfs', 'btrfs'] as const) {
    for (const allocation of ['preallocated', 'sparse'] as const) {
      needsFileSystem(type)(`a ${allocation} file on a full ${type}`, async () => {
        await using fs = await mountFileSystem(type);
        // All but some MiB of it is taken.
        await fillUp(fs.path, 8 * MiB);
        opened = openPaths();
        const path = `${fs.path}/target`;
        const error = await failure(() => upload({ path, root: fs.path, options: { allocation } }));
        expect(error.code).to.equal('STORAGE_FULL');
        expect(error.details).to.include({ errno: 28, path });
        expect(await stat(dir.join('image'))).to.include({ size: SIZE });
      });
    }
  }

  needsFileSystem('tmpfs')('zeroing a file on a full file system', async () => {
    await using fs = await mountFileSystem('tmpfs', 4 * MiB);
    opened = openPaths();
    const path = `${fs.path}/target`;
    const job = runJob(jobRun(workers, [fs.path]), { kind: 'zero', target: { type: 'file', path, size: SIZE } });
    expect((await failure(() => job)).code).to.equal('STORAGE_FULL');
  });

  for (const allocation of ['preallocated', 'sparse'] as const) {
    needsFileSystem('tmpfs')(`a thin device whose storage is full, ${allocation}`, async () => {
      await using fs = await mountFileSystem('tmpfs', 8 * MiB);
      await using device = await attachLoop({ size: SIZE, backing: `${fs.path}/disk` });
      opened = openPaths();
      const error = await failure(() =>
        upload({ type: 'block', path: device.path, root: device.path, options: { allocation } }),
      );
      expect(error.code).to.be.oneOf(['STORAGE_FULL', 'STORAGE_IO', 'FLUSH_FAILED']);
      expect(error.details.path).to.equal(device.path);
    });
  }

  needsLoop('a source device that reports I/O errors', async () => {
    await using device = await attachLoop({ size: SIZE });
    await fillWith(device.path, SIZE, 0x5a);
    await truncate(device.backing, 4 * MiB);
    await run('blockdev', ['--flushbufs', device.path]);
    opened = openPaths();
    const error = await failure(() => upload({ source: device.path, root: device.path }));
    expect(error.code).to.equal('STORAGE_IO');
    expect(error.details).to.include({ errno: 5, syscall: 'pread', path: device.path });
  });

  describe('of the source', () => {
    it('cut before its extents are listed: not taken for a hole', async () => {
      const cut = beforeFirst(workers, 'extents', () => truncate(dir.join('image'), MiB));
      expectChanged(await failure(() => upload({ workers: cut })));
    });

    it('cut while it is read', async () => {
      const cut = beforeFirst(workers, 'copy', () => truncate(dir.join('image'), MiB));
      expectChanged(await failure(() => upload({ workers: cut })));
    });

    it('cut while it is verified', async () => {
      const cut = beforeFirst(workers, 'checksum', () => truncate(dir.join('image'), MiB));
      expectChanged(await failure(() => upload({ workers: cut, options: { verify: true } })));
    });

    it('written to while it is read', async () => {
      const written = beforeFirst(workers, 'copy', () => fill(dir.join('image'), { start: 5, length: 1, seed: 4 }));
      expectChanged(await failure(() => upload({ workers: written })));
    });

    it('written to while it is verified', async () => {
      const hole = { start: SIZE - 10, length: 1, seed: 4 };
      const written = beforeFirst(workers, 'checksum', () => fill(dir.join('image'), hole));
      expectChanged(await failure(() => upload({ workers: written, options: { verify: true } })));
    });

    it('written to while it is read, and its old time set back', async () => {
      // As rsync and restore tools do. The time of change of the inode cannot be set.
      const { atime, mtime } = await stat(dir.join('image'));
      const written = beforeFirst(workers, 'copy', async () => {
        await fill(dir.join('image'), { start: 5, length: 1, seed: 4 });
        await utimes(dir.join('image'), atime, mtime);
      });
      expectChanged(await failure(() => upload({ workers: written })));
    });

    needsLoop('a device that another job writes', async () => {
      // Symptom: two jobs completed, and the copy was neither the old nor the new state of its source.
      await using device = await attachLoop({ size: SIZE });
      opened = openPaths();
      const nested = beforeFirst(workers, 'copy', async () => {
        const zero = runJob(jobRun(workers, ['/dev']), { kind: 'zero', target: { type: 'block', path: device.path } });
        expect((await failure(() => zero)).code).to.equal('TARGET_BUSY');
      });
      await upload({ workers: nested, source: device.path, root: '/dev' });
    });

    it('grown while it is read', async () => {
      const grown = beforeFirst(workers, 'copy', () => truncate(dir.join('image'), SIZE + 1));
      expectChanged(await failure(() => upload({ workers: grown })));
    });

    it('removed or renamed while it is read: the open file is still the image', async () => {
      const removed = beforeFirst(workers, 'copy', async () => {
        await rename(dir.join('image'), dir.join('away'));
      });
      await upload({ workers: removed });
      await assertSameBytes(dir.join('away'), dir.join('target'));
      await rename(dir.join('away'), dir.join('image'));
      await upload({
        workers: beforeFirst(workers, 'copy', () => unlink(dir.join('image'))),
        path: dir.join('second'),
      });
      await assertSameBytes(dir.join('target'), dir.join('second'));
    });

    it('gone before it is opened', async () => {
      await unlink(dir.join('image'));
      expect((await failure(() => upload())).code).to.equal('PATH_NOT_FOUND');
    });
  });

  it('what the client said of the target is not believed again by a later attempt', async () => {
    // Symptom: a retried job with targetIsZero completed with stale data where the source had become zeroes.
    const path = dir.join('target');
    await fillWith(path, SIZE, 0x5a);
    const request = {
      kind: 'upload' as const,
      source: { type: 'file' as const, path: dir.join('image') },
      target: { type: 'file' as const, path },
      options: { targetIsZero: true, allocation: 'sparse' as const },
    };
    const result = await runJob({ ...jobRun(workers, [dir.path]), attempt: 2 }, request);
    expect(result.plan?.proof).to.not.equal('declared');
    await assertSameBytes(dir.join('image'), path);
  });

  it('a target that somebody damaged fails the verification, with the place', async () => {
    const damaged = beforeFirst(workers, 'checksum', () =>
      fill(dir.join('target'), { start: 13 * MiB + 5, length: 1, seed: 4 }),
    );
    const error = await failure(() => upload({ workers: damaged, options: { verify: true } }));
    expect(error.code).to.equal('VERIFY_FAILED');
    expect(error.details).to.include({ position: 13 * MiB + 5, path: dir.join('target') });
  });

  needsLoop('a target that was wrongly said to be zero fails the verification, in holes and in the tail', async () => {
    await using device = await attachLoop({ size: SIZE + MiB });
    for (const dirty of [SIZE - 100, SIZE + 100]) {
      await fillWith(device.path, device.size, 0);
      await fill(device.path, { start: dirty, length: 1, seed: 3 });
      opened = openPaths();
      const options = { targetIsZero: true, verify: true };
      const error = await failure(() => upload({ type: 'block', path: device.path, root: device.path, options }));
      expect(error.code).to.equal('VERIFY_FAILED');
      expect(error.details.position).to.equal(dirty);
    }
  });

  it('asked to stop: ends as canceled, and the target is free again', async () => {
    for (const task of ['extents', 'zero', 'copy', 'checksum'] as const) {
      // Dirty and preallocated, so that there is something to zero.
      await fillWith(dir.join('target'), SIZE, 0xff);
      const stopped = jobRun(
        beforeFirst(workers, task, () => stopped.progress.control.stop()),
        [dir.path],
      );
      const job = runJob(stopped, {
        kind: 'upload',
        source: { type: 'file', path: dir.join('image') },
        target: { type: 'file', path: dir.join('target') },
        options: { verify: true },
      });
      expect((await failure(() => job)).code, task).to.equal('CANCELED');
    }
    await upload();
    await assertSameBytes(dir.join('image'), dir.join('target'));
  });
});

function expectChanged(error: FerryError): void {
  expect(error.code).to.equal('SOURCE_CHANGED');
  expect(error.details.path).to.match(/image$/);
}

async function fillUp(directory: string, leave: number): Promise<void> {
  await using file = await open(`${directory}/filler`, 'w');
  const block = Buffer.alloc(MiB, 0x11);
  try {
    for (;;) await file.write(block);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOSPC') throw thrown;
  }
  await file.sync().catch(() => {});
  const { size } = await file.stat();
  await file.truncate(Math.max(0, size - leave));
  await file.sync();
}
