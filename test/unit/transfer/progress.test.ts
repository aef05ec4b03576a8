/** What a client sees of a running job: 100 % only when durable, and verified where that was asked for. */
import { expect } from 'chai';
import { JobProgress, type Totals } from '../../../services/transfer/progress.js';
import type { Progress } from '../../../shared/schemas/job.js';
import { ControlBlock } from '../../../workers/control.js';
import { Seeded } from '../../helpers/seeded.js';

const TOTALS: Totals = { totalBytes: 1000, dataBytes: 400, givenBytes: 0, zeroFirstBytes: 0, verify: false };

describe('transfer: progress', () => {
  it('is nothing before the totals are known', () => {
    const progress = new JobProgress(new ControlBlock());
    expect(progress.sample()).to.equal(null);
    expect(progress.doneBytes).to.equal(0);
  });

  it('is not 100 % when all is done, only when all is durable', () => {
    const progress = start(TOTALS);
    progress.control.add('done', 1000);
    expect(sample(progress)).to.include({ doneBytes: 1000, durableBytes: 0, percent: 99.9 });
    progress.durableBytes = 1000;
    expect(sample(progress)).to.include({ percent: 100, etaSeconds: 0 });
  });

  it('is not 100 % when durable, only when verified, where that was asked for', () => {
    const progress = start({ ...TOTALS, verify: true });
    progress.control.add('done', 1000);
    progress.durableBytes = 1000;
    expect(sample(progress).percent).to.equal(50);
    progress.control.add('verified', 999);
    expect(sample(progress).percent).to.be.below(100);
    progress.control.add('verified', 1);
    expect(sample(progress)).to.include({ percent: 100, verifiedBytes: 1000 });
  });

  it('never says 100 % too early, whatever the numbers', () => {
    const random = new Seeded(31);
    for (let round = 0; round < 500; round += 1) {
      const totalBytes = random.between(1, 2_000_000);
      const verify = random.below(2) === 0;
      const progress = start({ ...TOTALS, totalBytes, verify });
      const done = random.pick([totalBytes, totalBytes - 1, random.below(totalBytes)]);
      const durable = random.pick([done, Math.max(0, done - 1)]);
      const verified = random.pick([totalBytes, totalBytes - 1, random.below(totalBytes)]);
      progress.control.add('done', done);
      progress.control.add('verified', verified);
      progress.durableBytes = durable;
      const complete = durable === totalBytes && (!verify || verified === totalBytes);
      expect(sample(progress).percent === 100, `${done} ${durable} ${verified} of ${totalBytes}`).to.equal(complete);
    }
  });

  it('counts zeroes that need no call as done from the start', () => {
    const progress = start({ ...TOTALS, givenBytes: 600 });
    expect(sample(progress)).to.include({ doneBytes: 600, zeroBytes: 600, dataBytes: 400, percent: 60 });
    progress.control.add('done', 400);
    expect(progress.doneBytes).to.equal(1000);
  });

  it('moves while all is zeroed first, by the zeroes alone', () => {
    const progress = start({ ...TOTALS, zeroFirstBytes: 1000 });
    progress.control.add('zeroed', 500);
    expect(progress.doneBytes).to.equal(300);
    progress.control.add('zeroed', 500);
    expect(progress.doneBytes).to.equal(600);
    progress.control.add('done', 400);
    expect(progress.doneBytes).to.equal(1000);
  });

  it('never goes back and never past the total', () => {
    const random = new Seeded(32);
    const progress = start({ ...TOTALS, zeroFirstBytes: 1000 });
    let last = 0;
    for (let i = 0; i < 200; i += 1) {
      progress.control.add(i < 100 ? 'zeroed' : 'done', random.below(20));
      const { doneBytes } = sample(progress);
      expect(doneBytes).to.be.within(last, 1000);
      last = doneBytes;
    }
  });

  it('keeps the time of each phase', () => {
    const progress = start(TOTALS);
    for (const phase of ['mapping', 'copying', 'flushing'] as const) {
      progress.enter(phase);
      expect(progress.phase).to.equal(phase);
    }
    progress.end();
    expect(Object.keys(progress.phaseMs)).to.deep.equal(['opening', 'mapping', 'copying', 'flushing']);
    for (const ms of Object.values(progress.phaseMs)) expect(ms).to.be.at.least(0);
  });
});

function start(totals: Totals): JobProgress {
  const progress = new JobProgress(new ControlBlock());
  progress.totals = totals;
  return progress;
}

function sample(progress: JobProgress): Progress {
  const taken = progress.sample();
  if (taken === null) throw new Error('there is no sample');
  return taken;
}
