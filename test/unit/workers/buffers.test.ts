/** Transfer buffers: aligned for direct I/O, bounded, handed out in order. */
import { expect } from 'chai';
import { KiB } from '../../../shared/units.js';
import { allocateShared, BufferPool, MEMORY_ALIGNMENT, type SharedBuffer, view } from '../../../workers/buffers.js';
import { loadNative } from '../../../workers/native/index.js';

describe('workers: buffers', () => {
  it('begin at a multiple of 4096 in memory and have the length asked for', () => {
    for (const length of [1, 4096, 100_000]) {
      const buffer = view(allocateShared(loadNative(), length));
      expect(loadNative().alignmentOffset(buffer, MEMORY_ALIGNMENT)).to.equal(0);
      expect(buffer.length).to.equal(length);
      expect(buffer.buffer).to.be.instanceOf(SharedArrayBuffer);
    }
  });

  it('are made when first needed, reused, and never more than the limit', async () => {
    const pool = new BufferPool(64 * KiB, 2);
    expect(pool.inUse).to.equal(0);
    const first = await pool.acquire();
    const second = await pool.acquire();
    expect(second).to.not.equal(first);
    expect(pool.inUse).to.equal(2);
    let third: SharedBuffer | undefined;
    const waiting = pool.acquire().then((buffer) => {
      third = buffer;
    });
    await turn();
    expect(third).to.equal(undefined);
    pool.release(first);
    await waiting;
    expect(third).to.equal(first);
    expect(pool.inUse).to.equal(2);
    pool.release(second);
    pool.release(first);
    expect(pool.inUse).to.equal(0);
  });

  it('that are small share huge pages, and neither overlap nor exceed the limit', () => {
    const pool = new BufferPool(512 * KiB, 6);
    const all = Array.from({ length: 6 }, () => pool.tryAcquire() as SharedBuffer);
    expect(pool.tryAcquire()).to.equal(null);
    expect(pool.inUse).to.equal(6);
    for (const [value, buffer] of all.entries()) view(buffer).fill(value + 1);
    for (const [value, buffer] of all.entries()) {
      expect(loadNative().alignmentOffset(view(buffer), MEMORY_ALIGNMENT)).to.equal(0);
      expect(view(buffer).every((byte) => byte === value + 1)).to.equal(true);
    }
    expect(new Set(all.map(({ memory }) => memory)).size, 'four of them in one').to.equal(3);
  });

  it('go to those who wait in the order in which they came', async () => {
    const pool = new BufferPool(4 * KiB, 1);
    let held = await pool.acquire();
    const order: string[] = [];
    const waiting = ['a', 'b', 'c'].map(async (name) => {
      held = await pool.acquire();
      order.push(name);
    });
    for (const name of ['a', 'b', 'c']) {
      pool.release(held);
      await turn();
      expect(order.at(-1)).to.equal(name);
    }
    await Promise.all(waiting);
    expect(pool.inUse).to.equal(1);
  });
});

/** Lets everything run that can run now. */
async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
