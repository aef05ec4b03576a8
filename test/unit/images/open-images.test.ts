/** Flushes of one image that several ask for: what is lost is told to all whom it concerns. */
import { expect } from 'chai';
import { OpenImage } from '../../../services/images/open-images.js';
import { FerryError } from '../../../shared/errors.js';
import type { Workers } from '../../../workers/pool.js';
import type { TargetHandle } from '../../../workers/storage/handle.js';
import { failure } from '../../helpers/failure.js';

const TARGET = { path: '/x', shared: new SharedArrayBuffer(4) } as unknown as TargetHandle;

describe('data plane: flushes of one image', () => {
  it('never run at the same time; those that wait share the next one', async () => {
    const { image, running, endOldest } = start();
    const flushes = [image.flush(0), image.flush(0), image.flush(0)];
    await settle();
    expect(running()).to.equal(1);
    const late = [image.flush(0), image.flush(0)];
    await settle();
    expect(running(), 'the kernel would tell only one of two that writes were lost').to.equal(1);
    endOldest(null);
    await Promise.all(flushes);
    await settle();
    expect(running()).to.equal(1);
    endOldest(null);
    await Promise.all(late);
    expect(running()).to.equal(0);
  });

  it('that come after one that failed fail too, for whoever has not heard of it', async () => {
    const { image, endOldest } = start();
    const first = failure(() => image.flush(0));
    await settle();
    const second = failure(() => image.flush(0));
    await settle();
    endOldest(new FerryError('FLUSH_FAILED', 'the disk forgot'));
    expect((await first).code).to.equal('FLUSH_FAILED');
    await settle();
    // The storage says that all is well now: what it lost is lost all the same.
    endOldest(null);
    expect((await second).code).to.equal('FLUSH_FAILED');
    const informed = image.flush(image.failedFlushes);
    await settle();
    endOldest(null);
    await informed;
  });
});

/** An image whose flushes end when the test says so. */
function start() {
  const pending: { resolve: () => void; reject: (error: FerryError) => void }[] = [];
  const run = () => new Promise<void>((resolve, reject) => pending.push({ resolve, reject }));
  return {
    image: new OpenImage({ run } as unknown as Workers, TARGET),
    running: () => pending.length,
    endOldest: (error: FerryError | null) => {
      const oldest = pending.shift();
      if (error === null) oldest?.resolve();
      else oldest?.reject(error);
    },
  };
}

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
