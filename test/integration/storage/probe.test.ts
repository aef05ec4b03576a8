/** `ferry probe`: what storage can do, found by trying, without harm. */
import { readdir, stat, writeFile } from 'node:fs/promises';
import { expect } from 'chai';
import { parseNbdUri } from '../../../shared/nbd-uri.js';
import { MiB } from '../../../shared/units.js';
import type { Workers } from '../../../workers/pool.js';
import { run } from '../../helpers/command.js';
import { failure } from '../../helpers/failure.js';
import { attachLoop, needsLoop } from '../../helpers/loop.js';
import { type FileSystemType, mountFileSystem, needsFileSystem } from '../../helpers/mounts.js';
import { needsNbd, startNbdkit, startQemuNbd } from '../../helpers/nbd.js';
import { assertFilledWith, fillWith } from '../../helpers/storage-kinds.js';
import { tempDir } from '../../helpers/temp.js';
import { openPaths, startWorkers } from '../../helpers/transfer.js';

/** What each file system is known to do on a preallocated file, best first. */
const SUPPORTED: Partial<Record<FileSystemType, string>> = {
  ext4: 'fallocate-zero-range',
  xfs: 'fallocate-zero-range',
  btrfs: 'fallocate-zero-range',
  tmpfs: 'punch-hole-then-allocate',
  ext2: 'write-zeroes',
};

describe('storage: probe', function () {
  this.timeout(60_000);
  let workers: Workers;
  let opened: string[];

  before(() => {
    workers = startWorkers(1);
  });
  after(() => workers.close());
  beforeEach(() => {
    opened = openPaths();
  });
  afterEach('nothing is left open', () => {
    expect(openPaths()).to.deep.equal(opened);
  });

  for (const [type, best] of Object.entries(SUPPORTED) as [FileSystemType, string][]) {
    needsFileSystem(type)(`of ${type}: finds the best way to zero, and leaves nothing behind`, async () => {
      await using fs = await mountFileSystem(type);
      const names = await readdir(fs.path);
      const report = await workers.run('probe', { path: fs.path, overwrite: false });
      expect(report).to.include({ kind: 'directory', size: null, extents: true });
      const usable = report.methods.filter((entry) => entry.allocation === 'preallocated' && entry.supported);
      // A file that reads as zeroes may be reserved without zeroing; the probe's file has been written to.
      expect(usable[0]?.method).to.equal(best);
      for (const entry of usable) expect(entry.bytesPerSecond).to.be.greaterThan(0);
      expect(await readdir(fs.path)).to.deep.equal(names);
    });
  }

  it('of a file: tries beside it, and does not touch it', async () => {
    await using dir = await tempDir();
    await writeFile(dir.join('image'), 'precious');
    const before = await stat(dir.join('image'), { bigint: true });
    const report = await workers.run('probe', { path: dir.join('image'), overwrite: true });
    expect(report).to.include({ kind: 'file', size: 8, path: dir.join('image') });
    expect((await stat(dir.join('image'), { bigint: true })).mtimeNs).to.equal(before.mtimeNs);
    expect(await readdir(dir.path)).to.deep.equal(['image']);
  });

  for (const sectorSize of [512, 4096] as const) {
    needsLoop(`of a device with sectors of ${sectorSize}: only looks, unless it may overwrite`, async () => {
      await using device = await attachLoop({ size: 20 * MiB, sectorSize });
      await fillWith(device.path, device.size, 0xff);
      const looked = await workers.run('probe', { path: device.path, overwrite: false });
      expect(looked).to.include({ kind: 'block', size: device.size, sectorSize, extents: false });
      expect(looked.methods.map((entry) => entry.supported)).to.not.include.members([true, false]);
      await assertFilledWith(device.path, 0, device.size, 0xff);

      const tried = await workers.run('probe', { path: device.path, overwrite: true });
      const best = tried.methods.filter((entry) => entry.supported).map((entry) => entry.method);
      expect(best).to.include.members(['fallocate-zero-range', 'fallocate-punch-hole', 'blkzeroout', 'write-zeroes']);
      expect(tried.writeBytesPerSecond).to.be.greaterThan(0);
      // Behind what it says it may use, nothing changes.
      await assertFilledWith(device.path, 16 * MiB, 4 * MiB, 0xff);
    });
  }

  needsNbd('of an NBD export: only looks, unless it may overwrite', async () => {
    await using dir = await tempDir();
    await fillWith(dir.join('image'), 20 * MiB, 0xff);
    await using server = await startQemuNbd(dir.path, 'raw', dir.join('image'));
    const nbd = parseNbdUri(server.uri, 'uri');
    const looked = await workers.run('probe', { nbd, overwrite: false });
    expect(looked).to.include({ kind: 'nbd', size: 20 * MiB, path: server.uri, extents: true, offloadsZero: null });
    expect(looked.methods.map((entry) => entry.supported)).to.not.include.members([true, false]);
    await assertFilledWith(dir.join('image'), 0, 20 * MiB, 0xff);

    const tried = await workers.run('probe', { nbd, overwrite: true });
    const best = tried.methods.filter((entry) => entry.supported).map((entry) => entry.method);
    expect(best).to.include.members(['nbd-write-zeroes-no-hole', 'nbd-write-zeroes', 'write-zeroes']);
    expect(tried.writeBytesPerSecond).to.be.greaterThan(0);
    await assertFilledWith(dir.join('image'), 16 * MiB, 4 * MiB, 0xff);
  });

  needsNbd('of an NBD export: asks the server whether it zeroes without writing', async () => {
    await using dir = await tempDir();
    await using fast = await startNbdkit(dir.path, ['memory', '20M']);
    await using slow = await startNbdkit(dir.path, [
      '--filter=nozero',
      'memory',
      '20M',
      'zeromode=emulate',
      'fastzeromode=slow',
    ]);
    await using silent = await startNbdkit(dir.path, [
      '--filter=nozero',
      'memory',
      '20M',
      'zeromode=emulate',
      'fastzeromode=none',
    ]);
    for (const [server, offloadsZero] of [
      [fast, true],
      [slow, false],
      [silent, null],
    ] as const) {
      const report = await workers.run('probe', { nbd: parseNbdUri(server.uri, 'uri'), overwrite: true });
      expect(report.offloadsZero).to.equal(offloadsZero);
    }
  });

  it('refuses what is missing, and what cannot hold an image', async () => {
    await using dir = await tempDir();
    await run('mkfifo', [dir.join('fifo')]);
    const probe = (name: string) => failure(() => workers.run('probe', { path: dir.join(name), overwrite: false }));
    expect((await probe('missing')).code).to.equal('PATH_NOT_FOUND');
    expect((await probe('fifo')).code).to.equal('PATH_NOT_SUPPORTED');
  });

  needsFileSystem('tmpfs')('says that the storage is full when it has no room to try', async () => {
    await using fs = await mountFileSystem('tmpfs', 2 * MiB);
    const error = await failure(() => workers.run('probe', { path: fs.path, overwrite: false }));
    expect(error.code).to.equal('STORAGE_FULL');
    expect(await readdir(fs.path)).to.deep.equal([]);
  });
});
