/** What a checkpoint must not be believed for: each time the target was changed by somebody, or by us, since. */

import { truncate } from 'node:fs/promises';
import { expect } from 'chai';
import type { JobRun, StopReason } from '../../../services/transfer/job.js';
import { UNSHARED } from '../../../services/transfer/owner.js';
import { FerryError } from '../../../shared/errors.js';
import type { Checkpoint } from '../../../shared/queue/checkpoint.js';
import { MiB } from '../../../shared/units.js';
import type { Workers } from '../../../workers/pool.js';
import { assertSameBytes, fill, makeImage } from '../../helpers/bytes.js';
import { failure } from '../../helpers/failure.js';
import { fillWith } from '../../helpers/storage-kinds.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';
import { beforeFirst, jobRun, runJob, startWorkers } from '../../helpers/transfer.js';

const SIZE = 64 * MiB;

describe('storage: a job that is tried again', function () {
  this.timeout(60_000);
  let workers: Workers;
  let dir: TempDir;
  /** What Redis would hold. */
  let checkpoint: Checkpoint | null;
  let attempts: number;

  before(() => {
    workers = startWorkers(4);
  });
  after(() => workers.close());

  beforeEach(async () => {
    dir = await tempDir();
    checkpoint = null;
    attempts = 0;
    await makeImage(dir.join('image'), SIZE, [{ start: 0, length: SIZE - MiB }]);
    await fillWith(dir.join('target'), SIZE, 0x5a);
  });
  afterEach(() => dir.release());

  function attempt(change: Partial<JobRun> = {}): JobRun {
    attempts += 1;
    return {
      ...jobRun(workers, [dir.path], 10),
      attempt: attempts,
      checkpoint,
      owner: {
        ...UNSHARED,
        hold: async () => true,
        begin: async (next) => {
          checkpoint = next;
        },
        save: async (next) => {
          checkpoint = next;
        },
      },
      ...change,
    };
  }

  const upload = (run: JobRun, options: object = {}) =>
    runJob(run, {
      kind: 'upload',
      source: { type: 'file', path: dir.join('image') },
      target: { type: 'file', path: dir.join('target') },
      options,
    });

  /** Stops a job when some of it is durable. */
  async function stopHalfWay(reason: StopReason): Promise<void> {
    const run = attempt({ stopping: () => reason });
    run.throttle.limit(64 * MiB);
    const look = setInterval(() => {
      if ((checkpoint?.copied[1] ?? 0) > 0) run.progress.control.stop();
    }, 5);
    const error = await failure(() => upload(run)).finally(() => clearInterval(look));
    expect(error.code).to.equal('CANCELED');
    expect(checkpoint?.copied[1]).to.be.greaterThan(0);
  }

  /** What another program does to a part that the checkpoint calls settled. */
  async function writeSettled(): Promise<void> {
    await fill(dir.join('target'), { start: (checkpoint?.copied[0] ?? 0) + 4096, length: 4096, seed: 9 });
  }

  it('goes on where it was canceled', async () => {
    await stopHalfWay('cancel');
    const result = await upload(attempt());
    expect(result.resumedBytes).to.be.greaterThan(0);
    await assertSameBytes(dir.join('image'), dir.join('target'));
  });

  it('starts again when others wrote the target of a canceled job', async () => {
    // Symptom: it completed with their bytes; a canceled job's target is anybody's.
    await stopHalfWay('cancel');
    await writeSettled();
    await upload(attempt());
    await assertSameBytes(dir.join('image'), dir.join('target'));
  });

  it('starts again when the target of a failed job was written since', async () => {
    let copied = 0;
    const failing = new Proxy(workers, {
      get: (target, key) =>
        key !== 'run'
          ? Reflect.get(target, key, target)
          : async (task: never, input: never) => {
              if (task === 'copy' && ++copied > 2) {
                while (!checkpoint?.copied[1]) await new Promise((resolve) => setTimeout(resolve, 5));
                throw new FerryError('STORAGE_FULL', 'bad luck');
              }
              return await workers.run(task, input);
            },
    });
    expect((await failure(() => upload(attempt({ workers: failing })))).message).to.equal('bad luck');
    await writeSettled();
    await upload(attempt());
    await assertSameBytes(dir.join('image'), dir.join('target'));
  });

  it('forgets a checkpoint that it refuses before it changes the target', async () => {
    // Symptom: measuring zeroed up to 16 MiB; had the attempt died there, the next one went on from the old checkpoint.
    await stopHalfWay('lost');
    expect(checkpoint?.target.generation, 'as after a crash').to.equal(null);
    const seen: (Checkpoint | null)[] = [];
    const elsewhere = attempt();
    const watching = beforeFirst(workers, 'zeroCost', () => void seen.push(checkpoint));
    await upload({ ...elsewhere, workers: watching, owner: { ...elsewhere.owner }, checkpoint: other(checkpoint) });
    expect(seen).to.deep.equal([null]);
  });

  it('copies all of it again after a failed verification', async () => {
    // Symptom: all was settled, so that each retry only verified the same bad copy again.
    const damaged = beforeFirst(workers, 'checksum', () =>
      fill(dir.join('target'), { start: 13 * MiB + 5, length: 1, seed: 4 }),
    );
    expect((await failure(() => upload(attempt({ workers: damaged }), { verify: true }))).code).to.equal(
      'VERIFY_FAILED',
    );
    const result = await upload(attempt(), { verify: true });
    expect(result.resumedBytes).to.equal(0);
    await assertSameBytes(dir.join('image'), dir.join('target'));
  });

  it('starts again when a crash left a target that was cut since', async () => {
    // Symptom: opening made the file as long as before, with zeroes for its data.
    await stopHalfWay('lost');
    await truncate(dir.join('target'), 0);
    await upload(attempt());
    await assertSameBytes(dir.join('image'), dir.join('target'));
  });
});

/** As another node sees it, which knows the file system under another number. */
function other(checkpoint: Checkpoint | null): Checkpoint | null {
  return checkpoint && { ...checkpoint, target: { ...checkpoint.target, id: 'file:0:0:0' } };
}
