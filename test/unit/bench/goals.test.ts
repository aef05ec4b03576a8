import { expect } from 'chai';
import { judge } from '../../../bench/storage/goals.js';
import { type CaseResult, fastest, median, type Series, summarize } from '../../../bench/storage/statistics.js';

function series(name: string, role: Series['role'], ...times: number[]): Series {
  const samples = times.map((ms, round) => ({ ms, round, allocatedBytes: 0 }));
  return { name, role, how: '', samples };
}

function caseOf(workload: string, target: string, ...all: Series[]): CaseResult {
  return { workload, target, title: '', series: all };
}

describe('statistics of a case', () => {
  it('takes the middle one, or the mean of the two in the middle', () => {
    expect(median([3, 1, 2])).to.equal(2);
    expect(median([4, 1, 3, 2])).to.equal(2.5);
    expect(median([])).to.be.NaN;
  });

  it('has no time for one that was left out, whatever it managed before', () => {
    expect(summarize(series('dd', 'peer', 5, 1, 9))).to.deep.equal({ median: 5, least: 1, most: 9 });
    expect(summarize({ ...series('dd', 'peer', 5), leftOut: 'more than 600 s' })).to.equal(null);
    expect(summarize(series('dd', 'peer'))).to.equal(null);
  });

  it('finds the fastest peer by its median, not by its best round', () => {
    const result = caseOf('a', 'x', series('dd', 'peer', 1, 9, 9), series('nbdcopy', 'peer', 5, 6, 7));
    expect(fastest(result, 'peer')).to.deep.equal({ name: 'nbdcopy', median: 6 });
    expect(fastest(result, 'floor')).to.equal(null);
  });
});

describe('goals', () => {
  const contestants = (ours: number) => [
    series('imageferry', 'ours', ours),
    series('imageferry, engine alone', 'engine', 1),
    series('nbdcopy', 'peer', 100),
    series('dd', 'peer', 200),
    series('floor', 'floor', 50),
  ];

  it('are ratios to the fastest peer and to the floor, met up to and with the limit', () => {
    const verdicts = judge([caseOf('a', 'loop-ext4', ...contestants(60))]);
    expect(verdicts.map(({ against, measured, met }) => ({ against, measured, met }))).to.deep.equal([
      { against: 'nbdcopy', measured: 0.6, met: true },
      { against: 'floor', measured: 1.2, met: false },
    ]);
  });

  it('hold on every target that was measured, where they name none', () => {
    const verdicts = judge([
      caseOf('d', 'loop-ext4', ...contestants(70)),
      caseOf('d', 'loop-tmpfs', ...contestants(90)),
    ]);
    expect(verdicts.map(({ target, met }) => [target, met])).to.deep.equal([
      ['loop-ext4', true],
      ['loop-tmpfs', false],
    ]);
  });

  it('are not met when there is nothing to compare with', () => {
    const slow = { ...series('nbdcopy', 'peer', 1), leftOut: 'more than 600 s' };
    const [verdict] = judge([caseOf('e', 'loop-ext4', series('imageferry', 'ours', 1), slow)]);
    expect(verdict).to.include({ measured: null, met: false });
  });

  it('of reflink are measured against cp that shares blocks, also where another is faster', () => {
    const peers = [series('cp --reflink', 'peer', 10), series('qemu-img', 'peer', 5)];
    const [verdict] = judge([caseOf('r', 'file-xfs-sparse', series('imageferry', 'ours', 15), ...peers)]);
    expect(verdict).to.include({ against: 'cp --reflink', measured: 1.5, met: true });
  });
});
