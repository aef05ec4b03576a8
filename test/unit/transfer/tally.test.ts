/** What an attempt moved is counted once, whenever it is asked. */
import { expect } from 'chai';
import { JobProgress, type Totals } from '../../../services/transfer/progress.js';
import { Tally } from '../../../services/transfer/tally.js';
import { ControlBlock } from '../../../workers/control.js';

const totals: Totals = { totalBytes: 1000, dataBytes: 600, givenBytes: 0, zeroFirstBytes: 0, verify: true };

describe('transfer: tally', () => {
  let progress: JobProgress;
  let tally: Tally;

  beforeEach(() => {
    progress = new JobProgress(new ControlBlock());
    tally = new Tally(progress);
  });

  it('is empty before anything moved', () => {
    expect(tally.take()).to.deep.equal({ copied: 0, cloned: 0, zeroed: [], durable: 0, verified: 0 });
  });

  it('says only what came since it was asked', () => {
    const { control } = progress;
    progress.totals = totals;
    control.add('copied', 100);
    control.addZeroed('blkzeroout', 40, 1);
    expect(tally.take()).to.deep.equal({
      copied: 100,
      cloned: 0,
      zeroed: [{ method: 'blkzeroout', bytes: 40 }],
      durable: 0,
      verified: 0,
    });
    control.add('copied', 11);
    control.add('cloned', 4096);
    control.addZeroed('write-zeroes', 5, 1);
    control.add('verified', 7);
    progress.durableBytes = 140;
    expect(tally.take()).to.deep.equal({
      copied: 11,
      cloned: 4096,
      zeroed: [
        { method: 'blkzeroout', bytes: 0 },
        { method: 'write-zeroes', bytes: 5 },
      ],
      durable: 140,
      verified: 7,
    });
    expect(tally.take()).to.deep.include({ copied: 0, durable: 0, verified: 0 });
  });

  it('leaves to earlier attempts what they made durable', () => {
    progress.totals = totals;
    progress.resume(300, 0);
    expect(tally.take()).to.deep.include({ copied: 0, durable: 0 });
    progress.durableBytes = 1000;
    expect(tally.take()).to.deep.include({ durable: 700 });
  });

  it('does not count as durable what was proven zero and needed nothing, in any attempt', () => {
    progress.totals = { ...totals, givenBytes: 400 };
    progress.control.add('done', 250);
    progress.durableBytes = progress.doneBytes;
    expect(tally.take().durable).to.equal(250);

    const second = new JobProgress(new ControlBlock());
    const rest = new Tally(second);
    second.totals = { ...totals, givenBytes: 400 };
    second.resume(250, 0);
    second.control.add('done', 350);
    second.durableBytes = second.doneBytes;
    expect(rest.take().durable).to.equal(350);
  });
});
