/** Limits of bytes a second: over time they hold, they change at once, and whoever waits can be stopped. */
import { expect } from 'chai';
import { STEP_BYTES } from '../../../services/transfer/layout.js';
import { createBucket, Throttle } from '../../../services/transfer/throttle.js';
import { KiB, MiB } from '../../../shared/units.js';

const never = () => false;

/** Bytes a second that get through in that time, in the steps that the throttle asks for. */
async function rateOf(throttle: Throttle, ms: number): Promise<number> {
  const before = performance.now();
  let moved = 0;
  while (performance.now() - before < ms) {
    const step = throttle.stepBytes();
    await throttle.take(step, never);
    moved += step;
  }
  return (moved / (performance.now() - before)) * 1000;
}

describe('transfer: throttle', function () {
  this.timeout(20_000);

  it('without a limit lets whole steps through at once', async () => {
    const throttle = new Throttle();
    expect(throttle.stepBytes()).to.equal(STEP_BYTES);
    await throttle.take(1e12, never);
  });

  it('keeps a job to its limit, in steps of a quarter of a second', async () => {
    const throttle = new Throttle();
    throttle.limit(8 * MiB);
    expect(throttle.stepBytes()).to.equal(2 * MiB);
    expect(await rateOf(throttle, 2000)).to.be.within(8 * MiB * 0.9, 8 * MiB * 1.1);
  });

  it('keeps all jobs of a node together to the limit of the node', async () => {
    const node = createBucket(8 * MiB);
    const jobs = [new Throttle(node), new Throttle(node), new Throttle(node)];
    jobs[0]?.limit(MiB);
    const rates = await Promise.all(jobs.map((job) => rateOf(job, 3000)));
    expect(rates[0]).to.be.at.most(MiB * 1.1);
    expect(rates.reduce((sum, rate) => sum + rate, 0)).to.be.within(8 * MiB * 0.9, 8 * MiB * 1.1);
  });

  it('lets a waiting step go on when the limit is raised or lifted', async () => {
    const throttle = new Throttle();
    throttle.limit(64 * KiB);
    await throttle.take(16 * KiB, never);
    const waiting = throttle.take(64 * MiB, never);
    throttle.limit(null);
    await waiting;
  });

  it('lets a part of a waiting step go when the limit is lowered, as long as a step is then', async () => {
    const throttle = new Throttle();
    throttle.limit(16 * MiB);
    const waiting = throttle.take(4 * MiB, never);
    throttle.limit(4 * MiB);
    expect(await waiting).to.equal(MiB);
  });

  it('stops waiting when the job is stopped', async () => {
    const throttle = new Throttle();
    throttle.limit(64 * KiB);
    let stopped = false;
    const waiting = throttle.take(64 * MiB, () => stopped);
    stopped = true;
    await waiting;
  });

  it('goes in the shortest steps however low the limit', () => {
    const throttle = new Throttle();
    throttle.limit(64 * KiB);
    expect(throttle.stepBytes()).to.equal(64 * KiB);
  });
});
