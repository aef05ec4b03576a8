/** Nothing changes a target once its job was stopped or its lease has run out. */
import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { ControlBlock } from '../../../workers/control.js';
import { guardedIo } from '../../../workers/guarded-io.js';
import { loadNative, type NativeIo } from '../../../workers/native/index.js';
import { failure } from '../../helpers/failure.js';
import { FaultyIo } from '../../helpers/faulty-io.js';
import { tempDir } from '../../helpers/temp.js';

const native = loadNative();
const past = () => process.hrtime.bigint() - 1n;
const future = () => process.hrtime.bigint() + 60_000_000_000n;

const CHANGES: readonly (readonly [string, (io: NativeIo, fd: number) => unknown])[] = [
  ['fallocate', (io, fd) => io.fallocate(fd, 0, 0, 4096)],
  ['zeroOut', (io, fd) => io.zeroOut(fd, 0, 4096)],
  ['discard', (io, fd) => io.discard(fd, 0, 4096)],
  ['pwrite', (io, fd) => io.pwrite(fd, new Uint8Array(8), 0, 8, 0)],
  ['pwriteBatch', (io, fd) => io.pwriteBatch(fd, new Uint8Array(8), Float64Array.of(0, 8, 0))],
  ['ftruncate', (io, fd) => io.ftruncate(fd, 10)],
  ['copyFileRange', (io, fd) => io.copyFileRange(fd, 0, fd, 4096, 4096)],
  ['clone', (io, fd) => io.clone(fd, fd)],
  ['cloneRange', (io, fd) => io.cloneRange(fd, 4096, fd, 0, 4096)],
  ['nbdWrite', (io, id) => io.nbdWrite(id, new Uint8Array(8), 0, 8, 0)],
  ['nbdZero', (io, id) => io.nbdZero(id, 0, 4096, true, false)],
];

describe('workers: guarded calls', () => {
  it('change a target while the job goes on and its lease lasts', async () => {
    await using dir = await tempDir();
    const control = new ControlBlock();
    control.writeUntil(future());
    const io = guardedIo(control);
    const { O_RDWR, O_CREAT } = io.constants;
    const fd = io.open(dir.join('x'), O_RDWR | O_CREAT, 0o600);
    io.pwrite(fd, Buffer.from('written'), 0, 7, 0);
    io.close(fd);
    expect(await readFile(dir.join('x'), 'utf8')).to.equal('written');
  });

  it('need no lease where there is none', () => {
    expect(new ControlBlock().leased).to.equal(true);
  });

  for (const [name, change] of CHANGES) {
    it(`${name} is not made any more after a stop or past the lease`, async () => {
      const faulty = new FaultyIo();
      const control = new ControlBlock();
      const io = guardedIo(control, faulty.io);
      control.writeUntil(past());
      expect((await failure(async () => change(io, 3))).code).to.equal('LEASE_LOST');
      control.writeUntil(future());
      control.stop();
      expect((await failure(async () => change(io, 3))).code).to.equal('CANCELED');
      expect(faulty.calls).to.deep.equal([]);
    });
  }

  it('make no file, but read, ask and flush all the same', async () => {
    await using dir = await tempDir();
    const control = new ControlBlock();
    const io = guardedIo(control);
    const { O_RDWR, O_CREAT } = io.constants;
    const fd = io.open(dir.join('x'), O_RDWR | O_CREAT, 0o600);
    control.writeUntil(past());
    expect((await failure(async () => io.open(dir.join('y'), O_RDWR | O_CREAT))).code).to.equal('LEASE_LOST');
    expect(io.pread(fd, new Uint8Array(8), 0, 8, 0)).to.equal(0);
    io.fdatasync(fd);
    io.close(fd);
  });

  it('guard every call of the addon that changes anything', () => {
    // A new call must be put into one of these lists by whoever adds it.
    const changing = CHANGES.map(([name]) => name);
    const harmless =
      'open close deviceSize logicalSectorSize physicalSectorSize pread fdatasync dataRanges seekEnd fadvise lockFile unlockFile isZero copyBytes drop adviseHugePages alignmentOffset nbdConnect nbdClose nbdRead nbdFlush nbdBlockStatus bindAbstract connectAbstract constants';
    expect([...changing, ...harmless.split(' ')].sort()).to.deep.equal(Object.keys(native).sort());
  });
});
