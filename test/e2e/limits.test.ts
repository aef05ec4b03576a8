/** Limits over two nodes, seen from the API through the whole run: never more at once, and who is urgent is next. */
import { expect } from 'chai';
import type { BatchRequestInput, BatchView } from '../../shared/schemas/batch.js';
import type { ImportInput, JobView } from '../../shared/schemas/job.js';
import { makeImage } from '../helpers/bytes.js';
import { Cluster, isOver } from '../helpers/cluster.js';
import { type TempDir, tempDir } from '../helpers/temp.js';

const MiB = 1024 * 1024;
const SIZE = 6 * MiB;
/** A disk lasts about a second: long enough to be seen running beside others. */
const RATE = 6 * MiB;

describe('limits over two nodes', function () {
  this.timeout(120_000);
  let dir: TempDir;

  before(async () => {
    dir = await tempDir();
    await makeImage(dir.join('source.img'), SIZE, [{ start: 0, length: SIZE, seed: 1 }]);
  });

  after(async () => {
    await dir?.release();
  });

  const upload = (name: string, options: object = {}): ImportInput => ({
    kind: 'upload',
    source: { type: 'file', path: dir.join('source.img') },
    target: { type: 'file', path: dir.join(name) },
    options: { bandwidthBytesPerSecond: RATE, ...options },
  });

  function batchOf(name: string, disks: number, maxConcurrentDisks: number): BatchRequestInput {
    const vms = Array.from({ length: disks }, (_, at) => {
      const { source, target, options = {} } = upload(`${name}-${at}.img`);
      return { name: `vm-${at}`, disks: [{ source, target, options }] };
    });
    return { name, vms, maxConcurrentDisks };
  }

  async function activeJobs(cluster: Cluster): Promise<JobView[]> {
    return (await cluster.request<{ jobs: JobView[] }>('GET', '/v1/jobs?state=active')).jobs;
  }

  /** Looks without a pause until nothing is left to run. @returns the most that ran at once, and where */
  async function watch(cluster: Cluster, jobs: number): Promise<{ most: number; nodes: Set<string | null> }> {
    const nodes = new Set<string | null>();
    let most = 0;
    for (;;) {
      const active = await activeJobs(cluster);
      most = Math.max(most, active.length);
      for (const { node } of active) nodes.add(node);
      const { jobs: completed } = await cluster.request<{ jobs: JobView[] }>('GET', '/v1/jobs?state=completed');
      if (completed.length === jobs) return { most, nodes };
    }
  }

  /** Of those that were started when `late` was known to the API, itself among them, in that order. */
  function startedSince(jobs: readonly JobView[], late: JobView): JobView[] {
    const startMs = ({ startedAt }: JobView) => Date.parse(startedAt ?? '');
    const knownMs = Date.parse(late.createdAt);
    return jobs.filter((job) => startMs(job) >= knownMs).sort((a, b) => startMs(a) - startMs(b));
  }

  it('a batch runs no more disks than maxConcurrentDisks, and as many', async () => {
    // Two places a node: three at once need both nodes, and a fourth place stays free.
    const env = { FERRY_CONCURRENCY: '2' };
    await using cluster = await Cluster.start({ roots: [dir.path], nodes: ['a', 'b'], env });
    const id = await cluster.submitBatch(batchOf('three', 15, 3));
    const counted = (async () => {
      let most = 0;
      for (;;) {
        const batch: BatchView = await cluster.batch(id);
        most = Math.max(most, batch.counts.active);
        if (isOver(batch)) return most;
      }
    })();
    const { most, nodes } = await watch(cluster, 15);
    expect(most, 'jobs of the list').to.equal(3);
    expect(await counted, 'counts of the batch').to.equal(3);
    expect([...nodes]).to.have.members(['a', 'b']);
    expect((await cluster.batch(id)).state).to.equal('completed');
  });

  it('a pool runs no more jobs than FERRY_POOL_CONCURRENCY, and as many', async () => {
    // One place a node: two at once need two nodes, and the third has to wait.
    const env = { FERRY_POOL_CONCURRENCY: 'default=2', FERRY_CONCURRENCY: '1' };
    await using cluster = await Cluster.start({ roots: [dir.path], nodes: ['a', 'b', 'c'], env });
    for (let at = 0; at < 10; at++) await cluster.submit(upload(`pool-${at}.img`));
    const { most, nodes } = await watch(cluster, 10);
    expect(most).to.equal(2);
    expect(nodes.size).to.be.at.least(2);
  });

  for (const [what, maxConcurrentDisks, options] of [
    ['an urgent job', 10, { priority: 1000 }],
    ['a job like any other, behind a batch with a limit of its own', 2, {}],
  ] as const) {
    it(`${what} starts before the waiting disks of a batch`, async () => {
      await using cluster = await Cluster.start({ roots: [dir.path], env: { FERRY_CONCURRENCY: '2' } });
      const batch = await cluster.submitBatch(batchOf(`large-${maxConcurrentDisks}`, 16, maxConcurrentDisks));
      while ((await cluster.batch(batch)).counts.completed < 2);
      const id = await cluster.submit(upload(`single-${maxConcurrentDisks}.img`, options));
      expect((await cluster.batchEnded(batch)).state).to.equal('completed');
      const { jobs } = await cluster.request<{ jobs: JobView[] }>('GET', '/v1/jobs');
      const later = startedSince(jobs, await cluster.job(id));
      expect(later.length, 'disks still waited').to.be.greaterThan(5);
      // Each of the node's two places may have had a disk in its hands already.
      expect(later.findIndex((job) => job.id === id)).to.be.within(0, 2);
    });
  }
});
