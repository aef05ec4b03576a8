/** What an upload does with each block: read and sent, only read for its digest, a hole, or nothing at all. */
import { expect } from 'chai';
import { BLOCK, uploadSteps } from '../../../services/cli/images-client/upload-steps.js';
import { Coverage } from '../../../shared/coverage.js';
import { GiB } from '../../../shared/units.js';

function steps(size: number, data: readonly number[], settled: readonly number[] = [], digests = false) {
  const missing = new Coverage(settled).rest(Float64Array.of(0, size));
  const all = [...uploadSteps({ size, data: Float64Array.from(data), missing, digests })];
  return all.map((step) => [
    step.kind === 'hole' ? 'hole' : step.send ? 'send' : 'read',
    step.range.start,
    step.range.length,
  ]);
}

describe('steps of an upload', () => {
  it('are whole blocks where there is a byte of data, the last one as long as it is', () => {
    expect(steps(2 * BLOCK + 7, [BLOCK - 1, 2, 2 * BLOCK + 6, 1])).to.deep.equal([
      ['send', 0, BLOCK],
      ['send', BLOCK, BLOCK],
      ['send', 2 * BLOCK, 7],
    ]);
  });

  it('join holes, in the order of the image', () => {
    expect(steps(6 * BLOCK + 1, [2 * BLOCK, 1])).to.deep.equal([
      ['hole', 0, 2 * BLOCK],
      ['send', 2 * BLOCK, BLOCK],
      ['hole', 3 * BLOCK, 3 * BLOCK + 1],
    ]);
  });

  it('cut holes, so that no request takes for ever', () => {
    const found = steps(2 * GiB + BLOCK, []);
    expect(found).to.deep.equal([
      ['hole', 0, GiB],
      ['hole', GiB, GiB],
      ['hole', 2 * GiB, BLOCK],
    ]);
  });

  it('leave out what the server has, data and holes alike', () => {
    const data = [0, BLOCK, 2 * BLOCK, BLOCK];
    expect(steps(4 * BLOCK, data, [0, 2 * BLOCK])).to.deep.equal([
      ['send', 2 * BLOCK, BLOCK],
      ['hole', 3 * BLOCK, BLOCK],
    ]);
    expect(steps(4 * BLOCK, data, [0, 4 * BLOCK])).to.deep.equal([]);
  });

  it('send a block again of which a byte is missing', () => {
    expect(steps(2 * BLOCK, [0, 2 * BLOCK], [0, 2 * BLOCK - 1])).to.deep.equal([['send', BLOCK, BLOCK]]);
  });

  it('read what the server has when the digest of all is wanted', () => {
    expect(steps(3 * BLOCK, [0, 2 * BLOCK], [0, BLOCK, 2 * BLOCK, BLOCK], true)).to.deep.equal([
      ['read', 0, BLOCK],
      ['send', BLOCK, BLOCK],
    ]);
  });
});
