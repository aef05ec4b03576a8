/** When an attempt may go on from a checkpoint, and each reason why it may not. */
import { expect } from 'chai';
import { digest, type Found, refusal } from '../../../services/transfer/resume.js';
import type { Checkpoint, Fingerprint } from '../../../shared/queue/checkpoint.js';

const source: Fingerprint = { id: 'file:1:2:3', name: 'file:/s', size: 100, generation: '5:6' };
const target: Fingerprint = { id: 'block:/dev/x:boot:9', name: 'block:/dev/x', size: 200, generation: '1' };
const checkpoint: Checkpoint = {
  version: 1,
  source,
  target: { ...target, generation: null },
  layout: 'geometry',
  plan: { strategy: 'zero-first', proof: 'zeroed', reason: '' },
  zeroed: [0, 200],
  copied: [0, 50],
};
const found: Found = { source, target, targetBytes: 200, layout: 'geometry', untouched: true };

describe('transfer: going on from a checkpoint', () => {
  it('is right when nothing has changed', () => {
    expect(refusal(checkpoint, found)).to.equal(null);
    expect(refusal({ ...checkpoint, source: null }, { ...found, source: null }), 'a zero job').to.equal(null);
  });

  it('does not ask what was written to a target that a crash left, but does after an orderly end', () => {
    expect(refusal(checkpoint, { ...found, target: { ...target, generation: '2' } })).to.equal(null);
    const orderly = { ...checkpoint, target };
    expect(refusal(orderly, found)).to.equal(null);
    expect(refusal(orderly, { ...found, target: { ...target, generation: '2' } })).to.match(/^the target was written/);
  });

  const changes: [string, Partial<Found>, RegExp][] = [
    ['another job wrote the target', { untouched: false }, /another job/],
    ['the source was written to', { source: { ...source, generation: '5:7' } }, /source was written/],
    ['the source was resized', { source: { ...source, size: 101 } }, /source had 100 bytes and has 101/],
    ['the source was replaced', { source: { ...source, id: 'file:1:9:9' } }, /source is another/],
    ['the target was replaced', { target: { ...target, id: 'block:/dev/x:boot:10' } }, /target is another/],
    ['the target was resized', { targetBytes: 300 }, /target had 200 bytes/],
    ['the target was cut, and opening made it as long as before', { targetBytes: 0 }, /target had 200 bytes and has 0/],
    ['the extents differ', { layout: 'other' }, /extents/],
    ['there is no source', { source: null }, /source is not the same/],
  ];
  for (const [what, change, reason] of changes) {
    it(`is refused when ${what}`, () => {
      expect(refusal(checkpoint, { ...found, ...change })).to.match(reason);
    });
  }

  it('is refused when nobody counts what is written to the source', () => {
    const uncounted = { ...source, generation: null };
    expect(refusal({ ...checkpoint, source: uncounted }, { ...found, source: uncounted })).to.match(/source may have/);
  });

  it('is refused for a checkpoint of a later version', () => {
    const later = { ...checkpoint, version: 2 } as unknown as Checkpoint;
    expect(refusal(later, found)).to.match(/version/);
  });

  it('tells every geometry from every other', () => {
    const ranges = Float64Array.of(0, 10, 20, 10);
    const same = digest(ranges, 30, 'sparse');
    expect(digest(Float64Array.of(0, 10, 20, 10), 30, 'sparse')).to.equal(same);
    expect(digest(Float64Array.of(0, 10, 20, 11), 30, 'sparse')).to.not.equal(same);
    expect(digest(ranges, 31, 'sparse')).to.not.equal(same);
    expect(digest(ranges, 30, 'preallocated')).to.not.equal(same);
    expect(digest(ranges.subarray(0, 2), 30, 'sparse')).to.not.equal(same);
  });
});
