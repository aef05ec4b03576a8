/** Flushes beside the work: what they confirm, and what becomes of the work when one fails. */
import { expect } from 'chai';
import { flushNow, withFlushes } from '../../../services/transfer/durability.js';
import { withHandles } from '../../../services/transfer/job.js';
import { JobProgress } from '../../../services/transfer/progress.js';
import { FerryError } from '../../../shared/errors.js';
import { ControlBlock } from '../../../workers/control.js';
import type { Workers } from '../../../workers/pool.js';
import type { SourceHandle, TargetHandle } from '../../../workers/storage/handle.js';
import { failure } from '../../helpers/failure.js';

const TARGET = {} as TargetHandle;
const NEVER_MS = 2 ** 31 - 1;
const FLUSH_FAILED = new FerryError('FLUSH_FAILED', 'the disk forgot');

describe('transfer: flushes', () => {
  it('confirm what was done before they began, not what was done meanwhile', async () => {
    const progress = start();
    progress.control.add('done', 300);
    await flushNow(
      workers(async () => progress.control.add('done', 200)),
      TARGET,
      progress,
    );
    expect(progress.doneBytes).to.equal(500);
    expect(progress.durableBytes).to.equal(300);
  });

  it('confirm nothing when they fail', async () => {
    const progress = start();
    progress.control.add('done', 300);
    const failing = workers(() => Promise.reject(FLUSH_FAILED));
    expect((await failure(() => flushNow(failing, TARGET, progress))).code).to.equal('FLUSH_FAILED');
    expect(progress.durableBytes).to.equal(0);
  });

  it('go on while the work runs, and end with it', async () => {
    const progress = start();
    let flushes = 0;
    const third = deferred();
    const counting = workers(async () => {
      flushes += 1;
      if (flushes === 3) third.resolve();
    });
    await withFlushes(counting, TARGET, progress, 1, () => third.promise);
    const atTheEnd = flushes;
    await new Promise((resolve) => setImmediate(resolve));
    expect(flushes).to.equal(atTheEnd);
  });

  it('stop the work when one fails, and are the reason; none is tried again', async () => {
    const progress = start();
    let flushes = 0;
    const failing = workers(() => {
      flushes += 1;
      return Promise.reject(FLUSH_FAILED);
    });
    const work = async () => {
      while (!progress.control.stopped) await new Promise((resolve) => setImmediate(resolve));
      progress.control.check();
    };
    expect((await failure(() => withFlushes(failing, TARGET, progress, 1, work))).code).to.equal('FLUSH_FAILED');
    expect(flushes).to.equal(1);
  });

  it('fail work that ended well while the flush that fails was still running', async () => {
    const progress = start();
    const begun = deferred();
    const over = deferred();
    const failing = workers(async () => {
      begun.resolve();
      await over.promise;
      throw FLUSH_FAILED;
    });
    const result = failure(() => withFlushes(failing, TARGET, progress, 1, () => begun.promise));
    await begun.promise;
    over.resolve();
    expect((await result).code).to.equal('FLUSH_FAILED');
  });

  it('leave the reason why the work failed as it is', async () => {
    const full = new FerryError('STORAGE_FULL', 'no space');
    const failing = () =>
      withFlushes(
        workers(async () => {}),
        TARGET,
        start(),
        NEVER_MS,
        () => Promise.reject(full),
      );
    expect(await failure(failing)).to.equal(full);
  });
});

describe('transfer: withHandles', () => {
  const source = { path: 'source' } as SourceHandle;
  const target = { path: 'target' } as TargetHandle;

  it('closes all that was opened, the target first', async () => {
    const closed: unknown[] = [];
    const value = await withHandles(closing(closed), async (keep) => {
      await keep(Promise.resolve(source));
      await keep(Promise.resolve(target));
      return 42;
    });
    expect(value).to.equal(42);
    expect(closed).to.deep.equal([[target, source]]);
  });

  it('closes what was opened when the next cannot be opened', async () => {
    const closed: unknown[] = [];
    const busy = new FerryError('TARGET_BUSY', 'in use');
    const opening = withHandles(closing(closed), async (keep) => {
      await keep(Promise.resolve(source));
      await keep(Promise.reject(busy));
    });
    expect(await failure(() => opening)).to.equal(busy);
    expect(closed).to.deep.equal([[source]]);
  });

  it('reports why the work failed, not that closing failed as well', async () => {
    const full = new FerryError('STORAGE_FULL', 'no space');
    const failing = workers(() => Promise.reject(new FerryError('STORAGE_IO', 'close')));
    expect(await failure(() => withHandles(failing, () => Promise.reject(full)))).to.equal(full);
    expect((await failure(() => withHandles(failing, async () => 1))).code).to.equal('STORAGE_IO');
  });
});

function workers(run: (name: string, input: unknown) => Promise<unknown>): Workers {
  return { run } as unknown as Workers;
}

function closing(closed: unknown[]): Workers {
  return workers(async (name, input) => {
    expect(name).to.equal('close');
    closed.push((input as { handles: unknown[] }).handles);
  });
}

function start(): JobProgress {
  const progress = new JobProgress(new ControlBlock());
  progress.totals = { totalBytes: 1000, dataBytes: 1000, givenBytes: 0, zeroFirstBytes: 0, verify: false };
  return progress;
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
