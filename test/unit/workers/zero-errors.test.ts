/** Real failures stop the zero ladder at once: nothing else is tried, nothing is remembered as refused. */
import { constants } from 'node:os';
import { expect } from 'chai';
import { MiB } from '../../../shared/units.js';
import type { Allocation } from '../../../shared/zero-methods.js';
import { zeroMethods, zeroRange } from '../../../workers/storage/zero-ladder.js';
import { failure } from '../../helpers/failure.js';
import { ALLOCATE, FaultyIo, mode, PUNCH_HOLE, ZERO_RANGE } from '../../helpers/faulty-io.js';
import { needsLoop } from '../../helpers/loop.js';
import { needsFileSystem } from '../../helpers/mounts.js';
import { openFile, openLoop } from '../../helpers/targets.js';

const SIZE = 2 * MiB;
const RANGE = { start: 0, length: MiB };
const EXPECTED = { ENOSPC: 'STORAGE_FULL', EIO: 'STORAGE_IO', EROFS: 'STORAGE_DENIED', EFBIG: 'STORAGE_FULL' } as const;

describe('workers: zero ladder, failures', function () {
  this.timeout(30_000);

  for (const [errno, code] of Object.entries(EXPECTED)) {
    for (const allocation of ['preallocated', 'sparse'] satisfies Allocation[]) {
      needsFileSystem('ext4')(`reports ${errno} on a ${allocation} file at once and tries nothing else`, async () => {
        const faulty = new FaultyIo();
        await using target = await openFile(SIZE, faulty.io);
        await assertStopsAtOnce(faulty, target.handle, allocation, errno, code);
      });
      needsLoop(`reports ${errno} on a ${allocation} device at once and tries nothing else`, async () => {
        const faulty = new FaultyIo();
        await using target = await openLoop(512, SIZE, faulty.io);
        await assertStopsAtOnce(faulty, target.handle, allocation, errno, code);
      });
    }
  }

  needsFileSystem('ext4')('reports no space for what it punched out and then wanted reserved', async () => {
    const faulty = new FaultyIo()
      .refuse('fallocate', 'EOPNOTSUPP', mode(ZERO_RANGE))
      .refuse('fallocate', 'ENOSPC', mode(ALLOCATE));
    await using target = await openFile(SIZE, faulty.io);
    const error = await failure(() => zeroRange(faulty.io, target.handle, RANGE, 'preallocated'));
    expect(error.code).to.equal('STORAGE_FULL');
    expect(faulty.made('pwrite')).to.have.length(0);
    expect(faulty.made('fallocate', mode(PUNCH_HOLE))).to.have.length(1);
  });

  needsLoop('reports an I/O error of BLKZEROOUT and does not write instead', async () => {
    const faulty = new FaultyIo().refuse('fallocate', 'EOPNOTSUPP').refuse('zeroOut', 'EIO');
    await using target = await openLoop(512, SIZE, faulty.io);
    const error = await failure(() => zeroRange(faulty.io, target.handle, RANGE, 'preallocated'));
    expect(error.code).to.equal('STORAGE_IO');
    expect(error.details).to.include({ errno: constants.errno.EIO, syscall: 'zeroOut', path: target.handle.path });
    expect(faulty.made('pwrite')).to.have.length(0);
  });
});

async function assertStopsAtOnce(
  faulty: FaultyIo,
  handle: Parameters<typeof zeroRange>[1],
  allocation: Allocation,
  errno: string,
  code: string,
): Promise<void> {
  const methods = zeroMethods(handle, allocation);
  faulty.refuse('fallocate', errno);
  const before = faulty.calls.length;
  const error = await failure(() => zeroRange(faulty.io, handle, RANGE, allocation));
  expect(error.code).to.equal(code);
  expect(error.details).to.include({ syscall: 'fallocate', path: handle.path });
  expect(error.details.errno).to.equal((constants.errno as Record<string, number>)[errno]);
  const changing = faulty.calls.slice(before).filter((call) => call.name !== 'seekEnd');
  expect(changing.map((call) => call.name)).to.deep.equal(['fallocate']);
  expect(zeroMethods(handle, allocation)).to.deep.equal(methods);
}
