/** A program that reads through the page cache sees the zeroes, also where it had cached the old bytes. */
import { expect } from 'chai';
import { MiB } from '../../../shared/units.js';
import { zeroTarget } from '../../../workers/storage/zero.js';
import { zeroRange } from '../../../workers/storage/zero-ladder.js';
import { fill, patternBytes, readRange } from '../../helpers/bytes.js';
import { FaultyIo } from '../../helpers/faulty-io.js';
import { needsLoop } from '../../helpers/loop.js';
import { FD_SUBJECTS, openLoop } from '../../helpers/targets.js';

const SIZE = 4 * MiB;

describe('workers: page cache', function () {
  this.timeout(30_000);

  for (const subject of FD_SUBJECTS) {
    for (const allocation of ['preallocated', 'sparse'] as const) {
      subject.declare(`never shows stale bytes of ${subject.name} after a ${allocation} zero`, async () => {
        await using target = await subject.open(SIZE);
        const { io, handle } = target;
        await fill(handle.path, { start: 0, length: SIZE, seed: 1 });
        const expected = patternBytes(1, SIZE);
        expect((await readRange(handle.path, 0, SIZE)).equals(expected)).to.equal(true);
        // Neither begins nor ends at a page, nor (on the device with small sectors) in the middle of one.
        const range = { start: 3 * 512 + 5, length: 2 * MiB + 512 };
        zeroTarget(io, handle, range, allocation);
        expected.fill(0, range.start, range.start + range.length);
        expect((await readRange(handle.path, 0, SIZE)).equals(expected)).to.equal(true);
      });
    }
  }

  for (const refused of [['fallocate'], ['fallocate', 'zeroOut']] as const) {
    needsLoop(`never shows stale bytes of a device that refuses ${refused.join(' and ')}`, async () => {
      const faulty = new FaultyIo();
      for (const name of refused) faulty.refuse(name, 'EOPNOTSUPP');
      await using target = await openLoop(512, SIZE, faulty.io);
      const { handle } = target;
      await fill(handle.path, { start: 0, length: SIZE, seed: 1 });
      const expected = patternBytes(1, SIZE);
      expect((await readRange(handle.path, 0, SIZE)).equals(expected)).to.equal(true);
      zeroRange(faulty.io, handle, { start: 512, length: 2 * MiB }, 'preallocated');
      expected.fill(0, 512, 512 + 2 * MiB);
      expect((await readRange(handle.path, 0, SIZE)).equals(expected)).to.equal(true);
    });
  }
});
