/** What an attempt takes for its client's word: a job that completes too early zeroes what was still to come. */
import { readFile } from 'node:fs/promises';
import type { Job } from 'bullmq';
import { expect } from 'chai';
import { Registry } from 'prom-client';
import { Attempt } from '../../../services/transfer/attempt.js';
import { JobMetrics } from '../../../services/transfer/metrics.js';
import { createBucket } from '../../../services/transfer/throttle.js';
import { createLog } from '../../../shared/log.js';
import type { JobRecord, NodeJobs, Outcome, Wishes } from '../../../shared/queue/records.js';
import { JobRequest } from '../../../shared/schemas/job.js';
import { KiB } from '../../../shared/units.js';
import type { Workers } from '../../../workers/pool.js';
import { patternBytes } from '../../helpers/bytes.js';
import { ClientPlane } from '../../helpers/client-plane.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';
import { startWorkers } from '../../helpers/transfer.js';

const SIZE = 64 * KiB;

describe('transfer: an attempt at a job with a client', function () {
  this.timeout(10_000);
  let workers: Workers;
  let dir: TempDir;

  before(async () => {
    workers = startWorkers(2);
    dir = await tempDir();
  });
  after(async () => {
    await workers?.close();
    await dir?.release();
  });

  it('does not complete by a word that was read before it became void', async () => {
    const plane = new ClientPlane(workers);
    const image = patternBytes(1, SIZE);
    let hear: (wishes: Partial<Wishes>) => void = () => {};
    let outcome: Outcome | null = null;
    const jobs = {
      // The node that heard the client died, and nothing says that all is durable.
      start: async () => record({ attempt: 2, finalize: {} }),
      unfinalize: async () => {
        // What was asked of Redis just before is answered just after.
        setImmediate(() => hear({ finalize: {}, finalizedIn: 1 }));
        return true;
      },
      onWishes: (_id: string, callback: (wishes: Wishes) => void) => {
        hear = (wishes) =>
          callback({ cancel: false, pause: false, bandwidthBytesPerSecond: null, ...wishes } as Wishes);
        return () => {};
      },
      hold: async () => ({ answer: 'held', previous: null }),
      finish: async (_id: string, _attempt: number, end: Outcome) => {
        outcome = end;
        return true;
      },
      ...Object.fromEntries(['report', 'owns', 'offer', 'checkpoint'].map((name) => [name, async () => true])),
    } as unknown as NodeJobs;
    const attempt = new Attempt(context(jobs, plane), { id: 'a-job' } as Job, 'token');
    const running = attempt.run();
    await plane.offered();
    // Longer than the job takes to look at what its client says.
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(outcome).to.equal(null);
    await plane.send(0, image);
    hear({ finalize: {}, finalizedIn: 2 });
    await running;
    expect(outcome).to.include({ state: 'completed' });
    expect((await readFile(dir.join('target'))).equals(image)).to.equal(true);
  });

  function context(jobs: NodeJobs, plane: ClientPlane) {
    return {
      workers,
      jobs,
      plane,
      config: {
        storageRoots: [dir.path],
        nbdHosts: [],
        flushIntervalMs: 60_000,
        nodeName: 'node-2',
        leaseMs: 10_000,
        clientTimeoutSeconds: 60,
      },
      log: createLog('silent'),
      metrics: new JobMetrics(new Registry(), ['default']),
      bucket: createBucket(null),
      mayWait: () => false,
    };
  }

  function record(known: Partial<JobRecord>): JobRecord {
    const request = JobRequest.parse({
      kind: 'upload',
      source: { type: 'client', size: SIZE },
      target: { type: 'file', path: dir.join('target') },
    });
    const rest = { lostNode: 'node-1', batch: null, bandwidthBytesPerSecond: null, checkpoint: null };
    return { id: 'a-job', kind: 'upload', request, ...rest, ...known } as JobRecord;
  }
});
