/** How the zeroes of an image get onto a target (design §3, step 6): by proof and by measurement, never by a guess. */
import { expect } from 'chai';
import {
  chooseStrategy,
  joinBelow,
  needsZeroing,
  type StrategyFacts,
  timeMs,
} from '../../../services/transfer/strategy.js';
import { GiB, MiB } from '../../../shared/units.js';
import type { ZeroCost } from '../../../workers/storage/zero-cost.js';

const CHEAP: ZeroCost = { callMs: 0.05, bytesPerSecond: Infinity, method: 'fallocate-zero-range' };
const WRITING: ZeroCost = { callMs: 0.05, bytesPerSecond: 500 * MiB, method: 'write-zeroes' };

const DIRTY_DEVICE: StrategyFacts = {
  kind: 'block',
  allocation: 'preallocated',
  created: false,
  readsZero: false,
  totalBytes: 6 * GiB,
  holes: 400,
  holeBytes: 5 * GiB,
  cost: CHEAP,
  callBytes: 128 * MiB,
};

describe('transfer: strategy', () => {
  it('zeroes all first where zeroing costs next to nothing', () => {
    const chosen = chooseStrategy(DIRTY_DEVICE);
    expect(chosen).to.include({ strategy: 'zero-first', proof: 'zeroed' });
    expect(chosen.reason).to.include('fallocate-zero-range').and.include('too quick to measure');
  });

  it('zeroes only the holes where zeroing writes', () => {
    const chosen = chooseStrategy({ ...DIRTY_DEVICE, cost: WRITING });
    expect(chosen).to.include({ strategy: 'zero-holes', proof: 'none' });
    expect(chosen.reason).to.include('write-zeroes').and.include('500 MiB/s');
  });

  it('zeroes only the holes where they are few and calls dear', () => {
    const cost = { ...CHEAP, callMs: 5 };
    const chosen = chooseStrategy({ ...DIRTY_DEVICE, holes: 3, holeBytes: 3 * MiB, cost });
    expect(chosen.strategy).to.equal('zero-holes');
  });

  it('zeroes all first even by writing, when holes are so many that their calls cost more', () => {
    const cost = { ...WRITING, callMs: 10 };
    const chosen = chooseStrategy({ ...DIRTY_DEVICE, holes: 100_000, cost });
    expect(chosen.strategy).to.equal('zero-first');
  });

  it('zeroes the holes of a target too small to measure', () => {
    expect(chooseStrategy({ ...DIRTY_DEVICE, cost: null }).strategy).to.equal('zero-holes');
  });

  it('never takes an existing target for zero because it is of some kind', () => {
    for (const kind of ['file', 'block'] as const) {
      for (const allocation of ['sparse', 'preallocated'] as const) {
        for (const cost of [CHEAP, WRITING, null]) {
          const chosen = chooseStrategy({ ...DIRTY_DEVICE, kind, allocation, cost });
          expect(chosen.strategy).to.not.equal('no-zero');
        }
      }
    }
  });

  it('does not zero a sparse file that this job made', () => {
    const facts: StrategyFacts = {
      ...DIRTY_DEVICE,
      kind: 'file',
      allocation: 'sparse',
      created: true,
      readsZero: true,
    };
    expect(chooseStrategy({ ...facts, cost: null })).to.include({ strategy: 'no-zero', proof: 'created' });
  });

  it('does not zero what the client vouches for', () => {
    const facts: StrategyFacts = { ...DIRTY_DEVICE, readsZero: true, cost: null };
    expect(chooseStrategy(facts)).to.include({ strategy: 'no-zero', proof: 'declared' });
  });

  it('reserves the space of a preallocated file, also when it reads as zeroes', () => {
    const facts: StrategyFacts = { ...DIRTY_DEVICE, kind: 'file', created: true, readsZero: true };
    expect(chooseStrategy(facts).strategy).to.equal('zero-first');
    expect(needsZeroing(facts)).to.equal(true);
    expect(needsZeroing({ ...facts, kind: 'block' })).to.equal(false);
    expect(needsZeroing({ ...facts, allocation: 'sparse' })).to.equal(false);
  });

  it('does not zero a target that the image fills without holes, and claims no proof for it', () => {
    const facts: StrategyFacts = { ...DIRTY_DEVICE, holes: 0, holeBytes: 0, cost: null };
    expect(chooseStrategy(facts)).to.include({ strategy: 'no-zero', proof: 'none', reason: 'the image has no holes' });
    expect(needsZeroing(facts)).to.equal(false);
  });

  it('counts calls and bytes', () => {
    expect(timeMs({ callMs: 2, bytesPerSecond: 1000, method: 'write-zeroes' }, 500, 3)).to.equal(506);
    expect(timeMs({ callMs: 2, bytesPerSecond: Infinity, method: 'write-zeroes' }, 500, 3)).to.equal(6);
  });

  it('joins near neighbours only where holes are not to be kept', () => {
    expect(joinBelow('sparse')).to.equal(0);
    expect(joinBelow('preallocated')).to.be.within(4096, MiB);
  });
});
