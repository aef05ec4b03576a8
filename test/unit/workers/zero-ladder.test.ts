/**
 * Every rung of the zero ladder (design §4), taken because the rungs above it refused: which method wins, what
 * the bytes and the allocation are then, and that a refusal is remembered by all who share the target.
 */
import { expect } from 'chai';
import { MiB } from '../../../shared/units.js';
import type { Allocation, ZeroMethod } from '../../../shared/zero-methods.js';
import type { StorageKind } from '../../../workers/storage/handle.js';
import { ladderMethods, zeroMethods, zeroRange } from '../../../workers/storage/zero-ladder.js';
import { allocatedBytes, assertZero, fill, patternBytes, readRange } from '../../helpers/bytes.js';
import { ALLOCATE, FaultyIo, mode, PUNCH_HOLE, ZERO_RANGE } from '../../helpers/faulty-io.js';
import { needsLoop } from '../../helpers/loop.js';
import { needsFileSystem } from '../../helpers/mounts.js';
import { openFile, openLoop } from '../../helpers/targets.js';

const SIZE = 4 * MiB;
const RANGE = { start: MiB, length: 2 * MiB };
const SEED = 7;

type Refusable = 'zero-range' | 'punch' | 'allocate' | 'zeroout';

interface Case {
  readonly kind: StorageKind;
  readonly allocation: Allocation;
  readonly refused: readonly Refusable[];
  readonly method: ZeroMethod;
  /** Bytes that the file, or the one behind the device, occupies afterwards. */
  readonly occupies: number;
}

const CASES: readonly Case[] = [
  { kind: 'file', allocation: 'preallocated', refused: [], method: 'fallocate-zero-range', occupies: SIZE },
  {
    kind: 'file',
    allocation: 'preallocated',
    refused: ['zero-range'],
    method: 'punch-hole-then-allocate',
    occupies: SIZE,
  },
  {
    kind: 'file',
    allocation: 'preallocated',
    refused: ['zero-range', 'punch'],
    method: 'write-zeroes',
    occupies: SIZE,
  },
  {
    kind: 'file',
    allocation: 'preallocated',
    refused: ['zero-range', 'allocate'],
    method: 'write-zeroes',
    occupies: SIZE,
  },
  { kind: 'file', allocation: 'sparse', refused: [], method: 'fallocate-punch-hole', occupies: SIZE - RANGE.length },
  { kind: 'file', allocation: 'sparse', refused: ['punch'], method: 'write-zeroes', occupies: SIZE },
  { kind: 'block', allocation: 'preallocated', refused: [], method: 'fallocate-zero-range', occupies: SIZE },
  { kind: 'block', allocation: 'preallocated', refused: ['zero-range'], method: 'blkzeroout', occupies: SIZE },
  {
    kind: 'block',
    allocation: 'preallocated',
    refused: ['zero-range', 'zeroout'],
    method: 'write-zeroes',
    occupies: SIZE,
  },
  { kind: 'block', allocation: 'sparse', refused: [], method: 'fallocate-punch-hole', occupies: SIZE - RANGE.length },
  { kind: 'block', allocation: 'sparse', refused: ['punch'], method: 'fallocate-zero-range', occupies: SIZE },
  { kind: 'block', allocation: 'sparse', refused: ['punch', 'zero-range'], method: 'blkzeroout', occupies: SIZE },
  {
    kind: 'block',
    allocation: 'sparse',
    refused: ['punch', 'zero-range', 'zeroout'],
    method: 'write-zeroes',
    occupies: SIZE,
  },
];

describe('workers: zero ladder', function () {
  this.timeout(30_000);

  for (const { kind, allocation, refused, method, occupies } of CASES) {
    const declare = kind === 'file' ? needsFileSystem('ext4') : needsLoop;
    const why = refused.length === 0 ? 'when nothing is refused' : `when ${refused.join(' and ')} are refused`;
    declare(`takes ${method} on a ${allocation} ${kind} ${why}, and remembers`, async () => {
      const faulty = new FaultyIo();
      refuse(faulty, refused, 'EOPNOTSUPP');
      await using target = kind === 'file' ? await openFile(SIZE, faulty.io) : await openLoop(512, SIZE, faulty.io);
      // Its old content is not known to be zero, even though the test made the file just now.
      const handle = { ...target.handle, readsZero: false };
      await fill(handle.path, { start: 0, length: SIZE, seed: SEED });

      expect(zeroRange(faulty.io, handle, RANGE, allocation)).to.equal(method);
      await assertOnlyRangeIsZero(handle.path);
      expect(await allocatedBytes(target.backing)).to.be.within(occupies, occupies + MiB / 4);

      // Another thread has a copy of the handle, over the same shared memory.
      const before = refusedCalls(faulty);
      expect(before).to.equal(refused.length);
      expect(zeroRange(faulty.io, structuredClone(handle), RANGE, allocation)).to.equal(method);
      expect(refusedCalls(faulty)).to.equal(before, 'a refused call was made again');
      const left = zeroMethods(structuredClone(handle), allocation);
      expect(left).to.include(method);
      expect(left).to.have.length(ladderMethods(kind, allocation).length - refused.length);
    });
  }

  for (const code of ['EOPNOTSUPP', 'ENODEV', 'ENOTTY', 'EINVAL', 'ENOSYS']) {
    needsFileSystem('ext4')(`understands ${code} as a refusal`, async () => {
      const faulty = new FaultyIo().refuse('fallocate', code);
      await using target = await openFile(SIZE, faulty.io);
      expect(zeroRange(faulty.io, target.handle, RANGE, 'preallocated')).to.equal('write-zeroes');
    });
  }

  needsFileSystem('ext4')('reserves space past the end of a file when zeroing there is refused', async () => {
    const faulty = new FaultyIo();
    refuse(faulty, ['zero-range', 'punch'], 'EOPNOTSUPP');
    await using target = await openFile(SIZE, faulty.io);
    faulty.io.ftruncate(target.handle.fd, MiB);
    expect(zeroRange(faulty.io, target.handle, RANGE, 'preallocated')).to.equal('fallocate-allocate');
    await assertZero(target.backing, RANGE.start, RANGE.length);
    expect(await allocatedBytes(target.backing)).to.be.within(RANGE.length, RANGE.length + MiB / 4);
  });

  needsFileSystem('ext4')('reserves space in a file that it made itself, which reads as zeroes', async () => {
    const faulty = new FaultyIo();
    refuse(faulty, ['zero-range', 'punch'], 'EOPNOTSUPP');
    await using target = await openFile(SIZE, faulty.io);
    expect(target.handle.readsZero).to.equal(true);
    expect(zeroRange(faulty.io, target.handle, RANGE, 'preallocated')).to.equal('fallocate-allocate');
    expect(await allocatedBytes(target.backing)).to.be.within(RANGE.length, RANGE.length + MiB / 4);
  });

  needsFileSystem('ext4')('never takes reserving for zeroing where old data may be', async () => {
    const faulty = new FaultyIo();
    refuse(faulty, ['zero-range', 'punch'], 'EOPNOTSUPP');
    await using target = await openFile(SIZE, faulty.io);
    await fill(target.backing, { start: 0, length: SIZE, seed: SEED });
    const dirty = { ...target.handle, readsZero: false };
    expect(zeroRange(faulty.io, dirty, RANGE, 'preallocated')).to.equal('write-zeroes');
    await assertOnlyRangeIsZero(target.backing);
  });

  needsFileSystem('ext4')('grows a sparse file by its size alone', async () => {
    const faulty = new FaultyIo();
    await using target = await openFile(SIZE, faulty.io);
    faulty.io.ftruncate(target.handle.fd, MiB);
    expect(zeroRange(faulty.io, target.handle, RANGE, 'sparse')).to.equal('ftruncate-grow');
    expect(faulty.io.seekEnd(target.handle.fd)).to.equal(RANGE.start + RANGE.length);
    expect(await allocatedBytes(target.backing)).to.be.below(MiB / 4);
  });

  needsFileSystem('ext4')('punches where growing by size is refused', async () => {
    const faulty = new FaultyIo();
    await using target = await openFile(SIZE, faulty.io);
    faulty.refuse('ftruncate', 'EINVAL');
    expect(zeroRange(faulty.io, target.handle, { start: SIZE - MiB, length: MiB }, 'sparse')).to.equal(
      'fallocate-punch-hole',
    );
  });

  needsFileSystem('ext4')('says so when even writing zeroes is not supported', async () => {
    const faulty = new FaultyIo().refuse('fallocate', 'EOPNOTSUPP').refuse('pwrite', 'EOPNOTSUPP');
    await using target = await openFile(SIZE, faulty.io);
    expect(() => zeroRange(faulty.io, target.handle, RANGE, 'preallocated'))
      .to.throw()
      .with.property('code', 'ZERO_UNSUPPORTED');
  });
});

function refuse(faulty: FaultyIo, what: readonly Refusable[], code: string): void {
  if (what.includes('zero-range')) faulty.refuse('fallocate', code, mode(ZERO_RANGE));
  if (what.includes('punch')) faulty.refuse('fallocate', code, mode(PUNCH_HOLE));
  if (what.includes('allocate')) faulty.refuse('fallocate', code, mode(ALLOCATE));
  if (what.includes('zeroout')) faulty.refuse('zeroOut', code);
}

function refusedCalls(faulty: FaultyIo): number {
  return faulty.calls.filter((call) => call.refused !== null).length;
}

async function assertOnlyRangeIsZero(path: string): Promise<void> {
  const before = patternBytes(SEED, SIZE);
  await assertZero(path, RANGE.start, RANGE.length);
  expect((await readRange(path, 0, RANGE.start)).equals(before.subarray(0, RANGE.start))).to.equal(true);
  const tail = RANGE.start + RANGE.length;
  expect((await readRange(path, tail, SIZE - tail)).equals(before.subarray(tail))).to.equal(true);
}
