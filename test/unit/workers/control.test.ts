/** The control block: counters that many threads add to, and the flag by which they hear "stop". */
import { expect } from 'chai';
import { ControlBlock } from '../../../workers/control.js';

describe('workers: control block', () => {
  it('begins at zero and not stopped', () => {
    const control = new ControlBlock();
    expect(control.read('done')).to.equal(0);
    expect(control.zeroed()).to.deep.equal([]);
    expect(control.stopped).to.equal(false);
    control.check();
  });

  it('is the same block wherever its memory is', () => {
    const here = new ControlBlock();
    const there = new ControlBlock(structuredClone(here.memory));
    there.add('copied', 5);
    there.add('copied', 7);
    there.addZeroed('blkzeroout', 4096, 1.5);
    expect(here.read('copied')).to.equal(12);
    expect(here.read('done')).to.equal(0);
    here.stop();
    expect(there.stopped).to.equal(true);
    expect(() => there.check())
      .to.throw()
      .with.property('code', 'CANCELED');
  });

  it('counts beyond 32 bits', () => {
    const control = new ControlBlock();
    control.add('done', 2 ** 40);
    control.add('done', 2 ** 40);
    expect(control.read('done')).to.equal(2 ** 41);
  });

  it('sums bytes, calls and time by method, in the order of the ladder, unused ones left out', () => {
    const control = new ControlBlock();
    control.addZeroed('write-zeroes', 10, 2);
    control.addZeroed('fallocate-zero-range', 100, 0.25);
    control.addZeroed('fallocate-zero-range', 50, 0.5);
    expect(control.zeroed()).to.deep.equal([
      { method: 'fallocate-zero-range', bytes: 150, calls: 2, durationMs: 0.75 },
      { method: 'write-zeroes', bytes: 10, calls: 1, durationMs: 2 },
    ]);
  });
});
