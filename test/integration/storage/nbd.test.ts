/** NBD as a source and a target, against real servers: qemu-nbd for raw and qcow2 images, nbdkit to fail on purpose. */
import { expect } from 'chai';
import { MiB } from '../../../shared/units.js';
import { loadNative } from '../../../workers/native/index.js';
import { closeStorage } from '../../../workers/storage/close.js';
import { dataExtents } from '../../../workers/storage/extents.js';
import { flushTarget } from '../../../workers/storage/flush.js';
import { blockStatus, dirtyContext, openNbdSource, openNbdTarget } from '../../../workers/storage/nbd.js';
import { readSource, writeTarget } from '../../../workers/storage/transfer.js';
import { assertSameBytes, makeImage } from '../../helpers/bytes.js';
import { run } from '../../helpers/command.js';
import { failure } from '../../helpers/failure.js';
import { attachLoop, needsLoop } from '../../helpers/loop.js';
import { needsNbd, startNbdkit, startQemuNbd, startStubbornNbd } from '../../helpers/nbd.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';
import { beforeFirst, jobRun, runJob, startWorkers } from '../../helpers/transfer.js';

const io = loadNative();
const SIZE = 16 * MiB;
const SEGMENTS = [
  { start: 0, length: 100_000, seed: 1 },
  { start: 3 * MiB, length: 2 * MiB, seed: 2 },
  { start: 9 * MiB + 512, length: 65_536, seed: 3 },
];

/** Takes every write, and can make none durable. */
const NO_FLUSH = [
  'eval',
  'get_size=echo 32M',
  'pread=head -c $3 /dev/zero',
  'can_write=exit 0',
  'pwrite=cat >/dev/null',
  'can_zero=exit 0',
  'zero=exit 0',
  'can_flush=exit 0',
  'flush=echo EIO the disk is gone >&2; exit 1',
];

describe('NBD', function () {
  this.timeout(60_000);
  let dir: TempDir;
  const workers = startWorkers();

  before(async () => {
    dir = await tempDir();
    await makeImage(dir.join('image.raw'), SIZE, SEGMENTS);
    await run('qemu-img', ['convert', '-O', 'qcow2', dir.join('image.raw'), dir.join('image.qcow2')]);
  });

  after(async () => {
    await workers.close();
    await dir?.release();
  });

  const file = (name: string) => ({ type: 'file' as const, path: dir.join(name) });

  needsNbd('imports a qcow2 image that qemu-nbd serves into a file, holes and all', async () => {
    await using server = await startQemuNbd(dir.path, 'qcow2', dir.join('image.qcow2'), ['--read-only']);
    const result = await runJob(jobRun(workers, [dir.path]), {
      kind: 'upload',
      source: { type: 'nbd', uri: server.uri },
      target: file('from-qcow2.raw'),
      options: { verify: true, allocation: 'sparse' },
    });
    await assertSameBytes(dir.join('image.raw'), dir.join('from-qcow2.raw'));
    expect(result.copiedBytes).to.be.lessThan(SIZE / 2);
  });

  needsLoop('imports it onto a block device too', async () => {
    await using server = await startQemuNbd(dir.path, 'qcow2', dir.join('image.qcow2'), ['--read-only']);
    await using device = await attachLoop({ size: SIZE, sectorSize: 512 });
    await runJob(jobRun(workers, [dir.path, device.path]), {
      kind: 'upload',
      source: { type: 'nbd', uri: server.uri },
      target: { type: 'block', path: device.path },
    });
    await assertSameBytes(dir.join('image.raw'), device.path);
  });

  for (const allocation of ['sparse', 'preallocated'] as const) {
    needsNbd(`imports a file into a qcow2 image, ${allocation}, over what was there`, async () => {
      const path = dir.join(`to-${allocation}.qcow2`);
      await run('qemu-img', ['create', '-q', '-f', 'qcow2', path, String(SIZE + MiB)]);
      await run('qemu-io', ['-f', 'qcow2', '-c', `write -P 0xaa 0 ${SIZE + MiB}`, path]);
      await using server = await startQemuNbd(dir.path, 'qcow2', path);
      const result = await runJob(jobRun(workers, [dir.path]), {
        kind: 'upload',
        source: file('image.raw'),
        target: { type: 'nbd', uri: server.uri },
        options: { allocation, verify: true },
      });
      await server[Symbol.asyncDispose]();
      await run('qemu-img', ['resize', '-q', '-f', 'raw', dir.join('image.raw'), String(SIZE)]);
      // Behind the image there are zeroes: a shorter image and a longer one that ends in zeroes are the same to qemu-img.
      await run('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', dir.join('image.raw'), path]);
      const method = allocation === 'sparse' ? 'nbd-write-zeroes' : 'nbd-write-zeroes-no-hole';
      expect(result.zeroed.map((use) => use.method)).to.include(method);
    });
  }

  needsNbd('zeroes by writing where the server cannot zero', async () => {
    await using server = await startNbdkit(dir.path, ['--filter=nozero', 'memory', '8M']);
    const result = await runJob(jobRun(workers, [dir.path]), {
      kind: 'zero',
      target: { type: 'nbd', uri: server.uri },
    });
    expect(result.zeroed.map((use) => use.method)).to.deep.equal(['write-zeroes']);
  });

  needsNbd('uses several connections where the server allows, one where it does not', async () => {
    await using many = await startNbdkit(dir.path, ['memory', '32M']);
    await using one = await startNbdkit(dir.path, ['--filter=multi-conn', 'memory', '32M', 'multi-conn-mode=disable']);
    for (const [server, count] of [
      [many, 4],
      [one, 1],
    ] as const) {
      const target = openNbdTarget(io, server.uri, false);
      expect(target.connections).to.have.length(count);
      closeStorage(io, target);
      await runJob(jobRun(workers, [dir.path]), {
        kind: 'upload',
        source: file('image.raw'),
        target: { type: 'nbd', uri: server.uri },
        options: { verify: true },
      });
    }
  });

  needsNbd('lists what holds data, what is zero and what is a hole', async () => {
    await using server = await startQemuNbd(dir.path, 'qcow2', dir.join('image.qcow2'), ['--read-only']);
    const source = openNbdSource(io, server.uri);
    try {
      expect([...dataExtents(io, source, SIZE)]).to.deep.equal([0, 131_072, 3 * MiB, 2 * MiB, 9 * MiB, 131_072]);
      const status = blockStatus(io, source, SIZE, 'base:allocation', () => {}) as Float64Array;
      expect(status.filter((_, i) => i % 2 === 0).reduce((sum, length) => sum + length, 0)).to.equal(SIZE);
      expect([...status.slice(0, 4)]).to.deep.equal([131_072, 0, 3 * MiB - 131_072, 3]);
      expect(dirtyContext(source)).to.equal(null);
    } finally {
      closeStorage(io, source);
    }
  });

  needsNbd('finds a dirty bitmap by itself, and what is dirty', async () => {
    const path = dir.join('dirty.qcow2');
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', path, String(SIZE)]);
    await run('qemu-img', ['bitmap', '--add', '--enable', path, 'backup']);
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write -P 1 1M 128k', path]);
    await run('qemu-img', ['bitmap', '--disable', path, 'backup']);
    await using server = await startQemuNbd(dir.path, 'qcow2', path, ['--read-only', '--bitmap=backup']);
    const source = openNbdSource(io, server.uri);
    try {
      const context = dirtyContext(source) as string;
      expect(context).to.equal('qemu:dirty-bitmap:backup');
      expect([...(blockStatus(io, source, SIZE, context, () => {}) as Float64Array)]).to.deep.equal([
        MiB,
        0,
        131_072,
        1,
        SIZE - MiB - 131_072,
        0,
      ]);
    } finally {
      closeStorage(io, source);
    }
  });

  needsNbd('fails a job by the error of its server, and says which', async () => {
    await using server = await startNbdkit(dir.path, [
      '--filter=error',
      'memory',
      '32M',
      'error-pwrite=EIO',
      'error-pwrite-rate=100%',
    ]);
    const error = await failure(() => upload(server.uri));
    expect(error).to.include({ code: 'STORAGE_IO' });
    expect(error.details).to.include({ syscall: 'nbd_pwrite', path: server.uri });
    await using full = await startNbdkit(dir.path, [
      '--filter=error',
      'memory',
      '32M',
      'error-pwrite=ENOSPC',
      'error-pwrite-rate=100%',
    ]);
    expect((await failure(() => upload(full.uri))).code).to.equal('STORAGE_FULL');
  });

  needsNbd('says so when a flush fails, once and for all', async () => {
    await using server = await startNbdkit(dir.path, NO_FLUSH);
    const target = openNbdTarget(io, server.uri, false);
    expect((await failure(() => flushTarget(io, target))).code).to.equal('FLUSH_FAILED');
    closeStorage(io, target);
    expect((await failure(() => upload(server.uri))).code).to.equal('FLUSH_FAILED');
  });

  needsNbd('fails when the server dies in the middle, and hangs on nothing', async () => {
    await using server = await startNbdkit(dir.path, ['memory', '32M']);
    const target = openNbdTarget(io, server.uri, false);
    writeTarget(io, target, new Uint8Array(4096), 0, 4096, 0);
    await server.kill();
    for (let round = 0; round < 2; round += 1) {
      const error = await failure(() => writeTarget(io, target, new Uint8Array(4096), 0, 4096, 0));
      expect(error.code).to.equal('STORAGE_GONE');
    }
    closeStorage(io, target);
    expect((await failure(() => openNbdTarget(io, server.uri, false))).code).to.equal('STORAGE_GONE');
  });

  needsNbd('gives up a server that does not answer in time, for good', async () => {
    await using server = await startNbdkit(dir.path, ['--filter=delay', 'memory', '1M', 'rdelay=3']);
    const { id } = io.nbdConnect(server.uri, [], 300);
    const buffer = new Uint8Array(512);
    expect(() => io.nbdRead(id, buffer, 0, 512, 0))
      .to.throw(/ETIMEDOUT/)
      .with.property('syscall', 'nbd_pread');
    expect(() => io.nbdRead(id, buffer, 0, 512, 0)).to.throw(/ENOTCONN/);
    io.nbdClose(id);
    expect(() => io.nbdRead(id, buffer, 0, 512, 0)).to.throw(/EBADF/);
  });

  for (const point of ['says-nothing', 'lists-nothing', 'never-goes'] as const) {
    it(`gives up a server that goes silent while it negotiates (${point})`, async () => {
      await using server = await startStubbornNbd(dir.path, point);
      expect(() => io.nbdConnect(server.uri, ['base:allocation', 'qemu:dirty-bitmap:'], 300))
        .to.throw(/ETIMEDOUT/)
        .with.property('syscall', 'nbd_connect');
    });
  }

  it('says why a server does not let us have an export', async () => {
    await using tls = await startStubbornNbd(dir.path, 'wants-tls');
    const denied = await failure(() => openNbdSource(io, tls.uri));
    expect(denied.code).to.equal('STORAGE_DENIED');
    expect(denied.message).to.include('TLS');
    await using gone = await startStubbornNbd(dir.path, 'hangs-up');
    expect((await failure(() => openNbdSource(io, gone.uri))).code).to.equal('STORAGE_GONE');
  });

  needsNbd('says so when a server has no export of that name', async () => {
    await using server = await startQemuNbd(dir.path, 'raw', dir.join('image.raw'), ['--read-only', '--export-name=a']);
    const error = await failure(() => openNbdSource(io, `nbd+unix:///b?socket=${server.socket}`));
    expect(error.code).to.equal('PATH_NOT_FOUND');
    expect(error.message).to.include("no export named 'b'");
    closeStorage(io, openNbdSource(io, `nbd+unix:///a?socket=${server.socket}`));
  });

  needsNbd('fails a job whose server dies between zeroing and copying', async () => {
    await using server = await startNbdkit(dir.path, ['memory', '32M']);
    const mortal = beforeFirst(workers, 'copy', () => server.kill());
    const error = await failure(() => upload(server.uri, jobRun(mortal, [dir.path])));
    expect(error.code).to.equal('STORAGE_GONE');
    expect(error.details.path).to.equal(server.uri);
  });

  needsNbd('refuses an export that is read-only as a target, and one that is too small', async () => {
    await using readOnly = await startNbdkit(dir.path, ['--readonly', 'memory', '32M']);
    expect((await failure(() => upload(readOnly.uri))).code).to.equal('STORAGE_DENIED');
    await using small = await startNbdkit(dir.path, ['memory', '1M']);
    expect((await failure(() => upload(small.uri))).code).to.equal('TARGET_TOO_SMALL');
  });

  needsNbd('talks to no socket outside the storage roots, and to no host that is not allowed', async () => {
    await using server = await startNbdkit(dir.path, ['memory', '32M']);
    const elsewhere = jobRun(workers, ['/nonexistent']);
    expect((await failure(() => upload(server.uri, elsewhere))).code).to.equal('PATH_FORBIDDEN');
    expect((await failure(() => upload('nbd://192.0.2.1/x'))).code).to.equal('PATH_FORBIDDEN');
    const notThere = `nbd+unix:///?socket=${dir.join('missing.sock')}`;
    expect((await failure(() => upload(notThere))).code).to.equal('PATH_NOT_FOUND');
    const notOne = `nbd+unix:///?socket=${dir.join('image.raw')}`;
    expect((await failure(() => upload(notOne))).code).to.equal('PATH_NOT_SUPPORTED');
  });

  needsNbd('reads any bytes of an export that is served in blocks of 4096', async () => {
    await using server = await startNbdkit(dir.path, [
      '--filter=blocksize-policy',
      'file',
      dir.join('image.raw'),
      'blocksize-minimum=4096',
      'blocksize-error-policy=error',
    ]);
    const source = openNbdSource(io, server.uri);
    const expected = new Uint8Array(20_000);
    const plain = openNbdSource(io, server.uri);
    readSource(io, plain, expected, 0, expected.length, 0);
    const found = new Uint8Array(10_001);
    expect(readSource(io, source, found, 0, found.length, 4095)).to.equal(found.length);
    expect(Buffer.compare(found, expected.subarray(4095, 4095 + found.length))).to.equal(0);
    expect(readSource(io, source, found, 0, 100, SIZE - 10)).to.equal(10);
    closeStorage(io, source, plain);
  });

  async function upload(uri: string, job = jobRun(workers, [dir.path])): Promise<unknown> {
    return await runJob(job, { kind: 'upload', source: file('image.raw'), target: { type: 'nbd', uri } });
  }
});
