/** Which ranges a zero job settles; and the checksum of an image whose parts are ready in any order. */
import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { ChecksumFold } from '../../../services/transfer/checksum-fold.js';
import { settledRanges } from '../../../services/transfer/zero-plan.js';
import { ZeroRequest } from '../../../shared/schemas/job.js';
import { failure } from '../../helpers/failure.js';

const request = (ranges?: { start: number; length: number }[]) =>
  ZeroRequest.parse({ kind: 'zero', target: { type: 'block', path: '/dev/x' }, ranges });

describe('transfer: ranges of a zero job', () => {
  it('are the whole target when none are given', () => {
    expect(settledRanges(request(), 777)).to.deep.equal([{ start: 0, length: 777 }]);
  });

  it('are put in order, and joined where they overlap or touch', () => {
    const ranges = [
      { start: 500, length: 10 },
      { start: 0, length: 100 },
      { start: 100, length: 50 },
      { start: 20, length: 30 },
      { start: 505, length: 100 },
    ];
    expect(settledRanges(request(ranges), 1000)).to.deep.equal([
      { start: 0, length: 150 },
      { start: 500, length: 105 },
    ]);
  });

  it('may end where the target ends, and not one byte behind', async () => {
    expect(settledRanges(request([{ start: 900, length: 100 }]), 1000)).to.deep.equal([{ start: 900, length: 100 }]);
    const outside = request([
      { start: 0, length: 1 },
      { start: 900, length: 101 },
    ]);
    const error = await failure(() => settledRanges(outside, 1000));
    expect(error.code).to.equal('RANGE_OUTSIDE_TARGET');
    expect(error.details.field).to.equal('ranges[1]');
  });
});

describe('transfer: checksum of an image', () => {
  it('does not depend on the order in which parts are ready', () => {
    const parts = ['one', 'two', 'three', 'four'].map((text) => Buffer.from(text));
    const expected = createHash('sha256').update(Buffer.concat(parts)).digest('hex');
    for (const order of [
      [0, 1, 2, 3],
      [3, 2, 1, 0],
      [2, 0, 3, 1],
    ]) {
      const fold = new ChecksumFold();
      for (const index of order) fold.add(index, parts[index] as Buffer);
      expect(fold.digest()).to.equal(expected);
    }
  });
});
