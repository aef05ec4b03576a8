/**
 * An upload by a client whose attempt ends before the job does: what of the client's word, and of what was known of the
 * target, the next attempt may believe. The target is a real file, the client is the test.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { expect } from 'chai';
import type { JobRun, StopReason } from '../../../services/transfer/job.js';
import { UNSHARED } from '../../../services/transfer/owner.js';
import { runReceive } from '../../../services/transfer/receive.js';
import { FerryError } from '../../../shared/errors.js';
import type { Checkpoint } from '../../../shared/queue/checkpoint.js';
import { type ClientUpload, type FinalizeRequest, JobRequest } from '../../../shared/schemas/job.js';
import { KiB, MiB } from '../../../shared/units.js';
import type { Workers } from '../../../workers/pool.js';
import { patternBytes } from '../../helpers/bytes.js';
import { ClientPlane } from '../../helpers/client-plane.js';
import { failure } from '../../helpers/failure.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';
import { jobRun, startWorkers } from '../../helpers/transfer.js';

const SIZE = 2 * MiB;
const DATA = patternBytes(1, 256 * KiB);
const LATER_MS = 60_000;

describe('storage: an upload by a client that is tried again', function () {
  this.timeout(30_000);
  let workers: Workers;
  let dir: TempDir;
  let plane: ClientPlane;
  let request: ClientUpload;
  /** What Redis would hold. */
  let checkpoint: Checkpoint | null;
  let said: FinalizeRequest | null;
  let attempts: number;
  let reason: StopReason | null;

  before(() => {
    workers = startWorkers(2);
  });
  after(() => workers.close());

  beforeEach(async () => {
    dir = await tempDir();
    plane = new ClientPlane(workers);
    checkpoint = null;
    said = null;
    attempts = 0;
    const input = { kind: 'upload', source: { type: 'client', size: SIZE }, options: { allocation: 'sparse' } };
    request = JobRequest.parse({ ...input, target: { type: 'file', path: dir.join('target') } }) as ClientUpload;
  });
  afterEach(() => dir.release());

  function attempt(flushIntervalMs = LATER_MS): JobRun {
    attempts += 1;
    reason = null;
    const keep = async (next: Checkpoint | null) => {
      checkpoint = next;
    };
    return {
      ...jobRun(workers, [dir.path], flushIntervalMs),
      attempt: attempts,
      checkpoint,
      owner: { ...UNSHARED, hold: async () => true, begin: keep, save: keep },
      client: {
        job: 'a-job',
        plane,
        timeoutMs: LATER_MS,
        said: () => said,
        forget: async () => {
          said = null;
        },
      },
      stopping: () => reason,
    };
  }

  function stop(run: JobRun, why: StopReason): void {
    reason = why;
    run.progress.control.stop();
  }

  /** Ends an attempt as a crash does: what it knows at that moment is what Redis keeps. */
  async function crash(run: JobRun, running: Promise<unknown>): Promise<void> {
    const known = checkpoint;
    stop(run, 'lost');
    await failure(() => running);
    checkpoint = known;
  }

  const content = () => readFile(dir.join('target'));
  const image = (start: number, data: Uint8Array = DATA) => {
    const bytes = Buffer.alloc(SIZE);
    bytes.set(data, start);
    return bytes;
  };

  for (const why of ['pause', 'shutdown'] as const) {
    it(`keeps the word of a client that a ${why} follows at once, and completes without it`, async () => {
      const run = attempt();
      const running = runReceive(run, request);
      await plane.offered();
      await plane.send(MiB, DATA);
      stop(run, why);
      said = {};
      expect((await failure(() => running)).code).to.equal('CANCELED');
      const next = attempt();
      const result = await runReceive(next, request);
      expect(plane.offers, 'nobody would send again').to.equal(1);
      expect(result.resumedBytes).to.equal(DATA.length);
      expect((await content()).equals(image(MiB))).to.equal(true);
      expect(next.progress.sample()?.percent).to.equal(100);
    });
  }

  it('asks the client again after a crash that may have lost something', async () => {
    const run = attempt();
    const running = runReceive(run, request);
    await plane.offered();
    await plane.send(0, DATA);
    said = {};
    await crash(run, running);
    const again = runReceive(attempt(), request);
    await plane.offered();
    expect(said, 'what it said is void').to.equal(null);
    expect(plane.offers).to.equal(2);
    await plane.send(0, DATA);
    said = {};
    await again;
    expect((await content()).equals(image(0))).to.equal(true);
  });

  it('zeroes what was written and not recorded before a crash, also in a file that the job made', async () => {
    const run = attempt();
    const running = runReceive(run, request);
    await plane.offered();
    await plane.send(MiB, patternBytes(2, 64 * KiB), false);
    await crash(run, running);
    const again = runReceive(attempt(), request);
    await plane.offered();
    await plane.send(0, DATA);
    said = {};
    await again;
    expect((await content()).equals(image(0))).to.equal(true);
  });

  it('goes on where a crash came after the client was done, and counts all of it', async () => {
    await writeFile(dir.join('target'), Buffer.alloc(SIZE, 0xee));
    const run = attempt(1);
    const running = runReceive(run, request);
    await plane.offered();
    await plane.send(0, DATA);
    said = {};
    // Recorded before the job was called completed, which the crash prevented.
    await running;
    expect(checkpoint).to.deep.include({ copied: [0, DATA.length], complete: true });
    expect(checkpoint?.zeroed).to.not.deep.equal([]);
    const next = attempt();
    await runReceive(next, request);
    expect(plane.offers).to.equal(1);
    expect(next.progress.sample()).to.include({ percent: 100, durableBytes: SIZE });
    expect((await content()).equals(image(0))).to.equal(true);
  });

  it('records nothing of what came after a flush of the client that failed', async () => {
    const run = attempt(1);
    const running = failure(() => runReceive(run, request));
    await plane.offered();
    await plane.send(0, DATA);
    // At once, before the next flush: one that failed earlier would stop the job, and with it what is sent.
    plane.failure = new FerryError('FLUSH_FAILED', 'the disk forgot');
    expect((await running).code).to.equal('FLUSH_FAILED');
    expect(checkpoint?.copied).to.deep.equal([]);
  });

  it('does not claim 100 % before a checksum was compared', async () => {
    const run = attempt(1);
    const percents: (number | undefined)[] = [];
    const enter = run.progress.enter.bind(run.progress);
    run.progress.enter = (phase) => {
      enter(phase);
      if (said !== null) percents.push(run.progress.sample()?.percent);
    };
    const running = failure(() => runReceive(run, request));
    await plane.offered();
    await plane.send(0, DATA);
    said = { checksum: { algorithm: 'sha256', blockSize: 4096, checksum: 'aa' } };
    expect((await running).code).to.equal('VERIFY_FAILED');
    expect(percents).to.have.length.above(1);
    expect(percents.every((percent) => percent !== undefined && percent < 100)).to.equal(true);
  });
});
