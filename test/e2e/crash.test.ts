/**
 * kill -9 at random moments of nodes, of the API, of the queue server and of all of them, while jobs run: whatever
 * says that it is completed is right, and nothing is lost. The seed is part of the test's name; FERRY_TEST_SEED sets
 * it, and FERRY_TEST_KILLS the number of kills.
 */
import { readdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'chai';
import type { ErrorCode } from '../../shared/errors.js';
import { imageChecksum } from '../helpers/checksum.js';
import { Cluster } from '../helpers/cluster.js';
import { type Lane, type Lanes, makeLanes } from '../helpers/crash-lanes.js';
import { CrashTally } from '../helpers/crash-tally.js';
import { Killer } from '../helpers/killer.js';
import { needsLoop } from '../helpers/loop.js';
import { Seeded } from '../helpers/seeded.js';
import { type TempDir, tempDir } from '../helpers/temp.js';

const MiB = 1024 * 1024;
/** Slow enough that a job is killed several times. */
const RATE = 4 * MiB;
const KILLS = Number(process.env.FERRY_TEST_KILLS || 50);
const seed = Number(process.env.FERRY_TEST_SEED || Date.now() % 1_000_000);
/** When nothing is killed any more, everything ends within this. */
const CALM_MS = 60_000;

/**
 * Kills are no fault of a job, so it may fail only because it lost its node again and again without making anything
 * durable: else a job that kills nodes would do so for ever. Tried again, it is completed.
 */
const ACCEPTED: readonly ErrorCode[] = ['INTERRUPTED'];

describe('everything that can be killed', function () {
  // As long as a machine with other work needs; a job that hangs is found by CALM_MS.
  this.timeout(600_000);
  let dir: TempDir;
  let lanes: Lanes;
  let cluster: Cluster;

  before(async () => {
    dir = await tempDir();
  });

  after(async () => {
    await cluster?.stop();
    await lanes?.[Symbol.asyncDispose]();
    await dir?.release();
  });

  needsLoop(`is killed ${KILLS} times, and every job is completed with the right bytes (seed ${seed})`, async () => {
    lanes = await makeLanes(dir, RATE);
    const checksum = await imageChecksum(dir.join('source.img'));
    // No second try for a job that says that it failed: what is killed beside it is no reason to fail.
    const env = { FERRY_THREADS: '2', FERRY_JOB_ATTEMPTS: '1' };
    cluster = await Cluster.start({ roots: [dir.path, '/dev'], nodes: ['a', 'b'], env });
    const killer = new Killer(cluster, new Seeded(seed));
    const tally = new CrashTally();
    let over = false;

    /** However often the job was interrupted: in the end its bytes are right. */
    async function settle(id: string, lane: Lane): Promise<void> {
      const said = () => JSON.stringify(cluster.nodeLog().filter(({ job }) => job === id));
      let job = await cluster.ended(id, Number.POSITIVE_INFINITY);
      while (job.state === 'failed') {
        tally.failed(job);
        expect(job.error?.code, `${lane.name}: ${JSON.stringify(job.error)} ${said()}`).to.be.oneOf([...ACCEPTED]);
        await cluster.request('POST', `/v1/jobs/${id}/retry`);
        job = await cluster.ended(id, Number.POSITIVE_INFINITY);
      }
      expect(job.state, `${lane.name}: ${said()}`).to.equal('completed');
      await lane.check().catch((wrong: Error) => {
        throw new Error(`${lane.name}: ${wrong.message} ${JSON.stringify(job)} ${said()}`);
      });
      tally.completed(job);
    }

    async function single(lane: Lane): Promise<void> {
      while (!over) {
        await lane.dirty();
        await settle(await cluster.submit(lane.request), lane);
      }
    }

    async function batch(): Promise<void> {
      while (!over) {
        for (const lane of lanes.disks) await lane.dirty();
        const vms = lanes.disks.map(({ name, request: { source, target, options = {} } }) => ({
          name,
          disks: [{ source, target, options }],
        }));
        const id = await cluster.submitBatch({ name: 'wave', vms, maxConcurrentDisks: 3 });
        const { counts, vms: ended } = await cluster.batchEnded(id, Number.POSITIVE_INFINITY);
        expect(counts.completed + counts.failed).to.equal(lanes.disks.length);
        for (const [at, lane] of lanes.disks.entries()) await settle(ended[at]?.disks[0]?.jobId as string, lane);
        tally.batches += 1;
      }
    }

    const unended = async () => [...(await cluster.active()), ...(await cluster.queued())];

    async function kill(): Promise<void> {
      while (killer.total < KILLS && !over) await killer.once();
      over = true;
      for (const { id } of await unended()) {
        // What still runs need not be slow any more; it may just have ended.
        await cluster.request('PATCH', `/v1/jobs/${id}`, { bandwidthBytesPerSecond: null }).catch(() => {});
      }
      const deadline = Date.now() + CALM_MS;
      for (let left = await unended(); left.length > 0; left = await unended()) {
        if (Date.now() > deadline) throw new Error(`not ended, and nothing is killed: ${JSON.stringify(left)}`);
        await delay(100);
      }
    }

    try {
      await Promise.all([...lanes.singles.map(single), batch(), kill()]);
    } finally {
      over = true;
      console.log(tally.report(seed, cluster, killer));
    }
    expect((await readdir(dir.path)).filter((name) => !lanes.files.includes(name))).to.deep.equal([]);
    expect(await imageChecksum(dir.join('source.img')), 'sources are only read').to.equal(checksum);
    expect(tally.resumedJobs, 'jobs that went on from a checkpoint').to.be.greaterThan(0);
    expect(tally.batches).to.be.greaterThan(0);
  });
});
