/** Flushes and checkpoints beside the work: what they claim, and what becomes of the work when a flush fails. */

import { expect } from 'chai';
import { Checkpoints } from '../../../services/transfer/checkpoints.js';
import { type StopReason, withHandles } from '../../../services/transfer/job.js';
import { UNSHARED } from '../../../services/transfer/owner.js';
import { FerryError } from '../../../shared/errors.js';
import type { Checkpoint, Fingerprint } from '../../../shared/queue/checkpoint.js';
import type { Workers } from '../../../workers/pool.js';
import type { SourceHandle, TargetHandle } from '../../../workers/storage/handle.js';
import { failure } from '../../helpers/failure.js';
import { jobRun } from '../../helpers/transfer.js';

const TARGET = {} as TargetHandle;
const NEVER_MS = 2 ** 31 - 1;
const FLUSH_FAILED = new FerryError('FLUSH_FAILED', 'the disk forgot');
const CANCELED = new FerryError('CANCELED', 'asked to stop');
const print: Fingerprint = { id: 'file:1:2:3', name: 'file:/x', size: 1000, generation: '7' };
const base = {
  source: print,
  target: print,
  layout: 'geometry',
  plan: { strategy: 'zero-first', proof: 'zeroed', reason: 'cheap' },
} as const;

describe('transfer: checkpoints', () => {
  it('claim what was done before a flush began, not what was done meanwhile', async () => {
    const { checkpoints, saved, progress } = start(async () => {
      progress.control.add('done', 200);
      checkpoints.copied.add({ start: 300, length: 200 });
    });
    progress.control.add('done', 300);
    checkpoints.copied.add({ start: 0, length: 300 });
    await checkpoints.flush();
    expect(progress.durableBytes).to.equal(300);
    expect(saved.map((checkpoint) => checkpoint.copied)).to.deep.equal([[0, 300]]);
    expect(saved[0]?.target.generation, 'our own writes go on').to.equal(null);
  });

  it('claim nothing when a flush fails', async () => {
    const { checkpoints, saved, progress } = start(() => Promise.reject(FLUSH_FAILED));
    progress.control.add('done', 300);
    expect((await failure(() => checkpoints.flush())).code).to.equal('FLUSH_FAILED');
    expect(progress.durableBytes).to.equal(0);
    expect(saved).to.deep.equal([]);
  });

  it('flush once at a time, so that a flush that lost something is known to all, and none follows it', async () => {
    const first = deferred();
    let flushes = 0;
    const { checkpoints, saved } = start(async () => {
      flushes += 1;
      await first.promise;
      throw FLUSH_FAILED;
    });
    const both = [failure(() => checkpoints.flush()), failure(() => checkpoints.flush())];
    await new Promise((resolve) => setImmediate(resolve));
    expect(flushes).to.equal(1);
    first.resolve();
    expect((await Promise.all(both)).map(({ code }) => code)).to.deep.equal(['FLUSH_FAILED', 'FLUSH_FAILED']);
    expect(flushes).to.equal(1);
    expect(saved).to.deep.equal([]);
  });

  it('go on while the work runs, and end with it', async () => {
    let flushes = 0;
    const third = deferred();
    const { checkpoints } = start(async () => {
      flushes += 1;
      if (flushes === 3) third.resolve();
    }, 1);
    await checkpoints.during(() => third.promise);
    const atTheEnd = flushes;
    await new Promise((resolve) => setImmediate(resolve));
    expect(flushes).to.equal(atTheEnd);
  });

  it('stop the work when a flush fails, and are the reason; none is tried again', async () => {
    let flushes = 0;
    const { checkpoints, progress, saved } = start(
      () => {
        flushes += 1;
        return Promise.reject(FLUSH_FAILED);
      },
      1,
      'shutdown',
    );
    const work = async () => {
      while (!progress.control.stopped) await new Promise((resolve) => setImmediate(resolve));
      progress.control.check();
    };
    expect((await failure(() => checkpoints.during(work))).code).to.equal('FLUSH_FAILED');
    expect(flushes).to.equal(1);
    expect(saved).to.deep.equal([]);
  });

  it('fail work that ended well while the flush that fails was still running', async () => {
    const begun = deferred();
    const over = deferred();
    const { checkpoints } = start(async () => {
      begun.resolve();
      await over.promise;
      throw FLUSH_FAILED;
    }, 1);
    const result = failure(() => checkpoints.during(() => begun.promise));
    await begun.promise;
    over.resolve();
    expect((await result).code).to.equal('FLUSH_FAILED');
  });

  it('leave the reason why the work failed as it is', async () => {
    const full = new FerryError('STORAGE_FULL', 'no space');
    const { checkpoints, saved } = start(async () => {});
    expect(await failure(() => checkpoints.during(() => Promise.reject(full)))).to.equal(full);
    expect(saved, 'nothing is flushed after a failure').to.deep.equal([]);
  });

  for (const reason of ['pause', 'shutdown'] as const) {
    it(`of a job that is stopped by a ${reason} keep all that it did, and the state of its target`, async () => {
      const { checkpoints, saved } = start(async () => {}, NEVER_MS, reason);
      const work = async () => {
        checkpoints.zeroed.add({ start: 0, length: 500 });
        throw CANCELED;
      };
      expect(await failure(() => checkpoints.during(work))).to.equal(CANCELED);
      expect(saved.at(-1)).to.deep.include({ zeroed: [0, 500], target: print });
    });
  }

  for (const reason of ['cancel', 'lost'] as const) {
    it(`of a job that is stopped by a ${reason} are not made any more`, async () => {
      const { checkpoints, saved } = start(async () => {}, NEVER_MS, reason);
      expect(await failure(() => checkpoints.during(() => Promise.reject(CANCELED)))).to.equal(CANCELED);
      expect(saved).to.deep.equal([]);
    });
  }
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
  return { run, join: () => () => {} } as unknown as Workers;
}

function closing(closed: unknown[]): Workers {
  return workers(async (name, input) => {
    expect(name).to.equal('close');
    closed.push((input as { handles: unknown[] }).handles);
  });
}

/** Checkpoints whose flush is `flush`; everything that they record is in `saved`. */
function start(flush: () => Promise<void>, flushIntervalMs = NEVER_MS, reason: StopReason | null = null) {
  const saved: Checkpoint[] = [];
  const fake = workers(async (name) => (name === 'flush' ? await flush() : print));
  const run = {
    ...jobRun(fake, [], flushIntervalMs),
    owner: {
      ...UNSHARED,
      save: async (checkpoint: Checkpoint) => void saved.push(checkpoint),
    },
    stopping: () => reason,
  };
  const { progress } = run;
  progress.totals = { totalBytes: 1000, dataBytes: 1000, givenBytes: 0, zeroFirstBytes: 0, verify: false };
  return { checkpoints: new Checkpoints(run, TARGET, base, null), saved, progress };
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
