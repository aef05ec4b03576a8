/** How long one zero call may be: learned from how long the last ones took; and stopping between calls. */
import { expect } from 'chai';
import { FerryError } from '../../../shared/errors.js';
import { MiB } from '../../../shared/units.js';
import { Capabilities } from '../../../workers/storage/capabilities.js';
import { createShared, FIRST_CALL } from '../../../workers/storage/handle.js';
import { zeroTarget } from '../../../workers/storage/zero.js';
import { failure } from '../../helpers/failure.js';
import { FaultyIo, mode, ZERO_RANGE } from '../../helpers/faulty-io.js';
import { needsFileSystem } from '../../helpers/mounts.js';
import { openFile } from '../../helpers/targets.js';

const fresh = () => new Capabilities({ shared: createShared() });

describe('workers: length of a zero call', function () {
  this.timeout(30_000);

  it('begins at 128 MiB', () => {
    expect(FIRST_CALL).to.equal(128 * MiB);
    expect(fresh().zeroCallLength).to.equal(FIRST_CALL);
  });

  it('grows on quick calls of full length, up to a bound', () => {
    const capabilities = fresh();
    capabilities.learn(FIRST_CALL, 100);
    expect(capabilities.zeroCallLength).to.equal(2 * FIRST_CALL);
    capabilities.learn(2 * FIRST_CALL, 10);
    expect(capabilities.zeroCallLength).to.equal(16 * FIRST_CALL);
    for (let i = 0; i < 100; i += 1) capabilities.learn(capabilities.zeroCallLength, 10);
    expect(capabilities.zeroCallLength).to.equal(16 * 1024 * MiB);
  });

  it('does not grow on a short call, which tells nothing', () => {
    const capabilities = fresh();
    capabilities.learn(FIRST_CALL - 1, 1);
    expect(capabilities.zeroCallLength).to.equal(FIRST_CALL);
  });

  it('keeps its length while calls take their fair time', () => {
    const capabilities = fresh();
    capabilities.learn(FIRST_CALL, 600);
    expect(capabilities.zeroCallLength).to.equal(FIRST_CALL);
  });

  it('shrinks after a slow call to what would have taken a second', () => {
    const capabilities = fresh();
    capabilities.learn(FIRST_CALL, 4000);
    expect(capabilities.zeroCallLength).to.equal(32 * MiB);
    capabilities.learn(32 * MiB, 3_600_000);
    expect(capabilities.zeroCallLength).to.equal(MiB);
  });

  it('never grows because of a slow call', () => {
    const capabilities = fresh();
    capabilities.learn(FIRST_CALL, 8000);
    // A long call that began on another thread before that was learned.
    capabilities.learn(1024 * MiB, 1100);
    expect(capabilities.zeroCallLength).to.equal(16 * MiB);
  });

  it('is shared by all who have the target', () => {
    const shared = createShared();
    new Capabilities({ shared }).learn(FIRST_CALL, 2000);
    expect(new Capabilities({ shared }).zeroCallLength).to.equal(64 * MiB);
  });

  needsFileSystem('ext4')('limits every call that is made', async () => {
    const faulty = new FaultyIo();
    await using target = await openFile(300 * MiB, faulty.io);
    zeroTarget(faulty.io, target.handle, { start: 0, length: 300 * MiB }, 'sparse');
    const lengths = faulty.made('fallocate').map((call) => call.args[3] as number);
    expect(lengths[0]).to.equal(128 * MiB);
    expect(lengths.reduce((sum, length) => sum + length, 0)).to.equal(300 * MiB);
    expect(lengths.length).to.be.greaterThan(1);
  });

  needsFileSystem('ext4')('is followed by a chance to stop before the next call', async () => {
    const faulty = new FaultyIo();
    await using target = await openFile(8 * MiB, faulty.io);
    // So slow a target that every call is 1 MiB.
    new Capabilities(target.handle).learn(MiB, 60_000);
    let zeroed = 0;
    const meter = {
      check() {
        if (zeroed >= 3 * MiB) throw new FerryError('CANCELED', 'enough');
      },
      addZeroed(_method: string, length: number) {
        zeroed += length;
        // It stays slow: what is learned from quick calls would make them longer.
        new Capabilities(target.handle).learn(MiB, 60_000);
      },
    };
    const all = { start: 0, length: 8 * MiB };
    const error = await failure(() => zeroTarget(faulty.io, target.handle, all, 'preallocated', meter));
    expect(error.code).to.equal('CANCELED');
    const starts = faulty.made('fallocate', mode(ZERO_RANGE)).map((call) => call.args[2]);
    expect(starts).to.deep.equal([0, MiB, 2 * MiB]);
  });
});
