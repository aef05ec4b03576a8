/** What a batch shows is put together of its disks: states of VMs, sums, and a percent that never lies. */
import { expect } from 'chai';
import { batchProgress, batchSummary, batchView, vmState } from '../../../services/api/batch-view.js';
import type { BatchDetail, DiskRecord } from '../../../shared/queue/batch-records.js';
import { BatchSummary, BatchView } from '../../../shared/schemas/batch.js';
import type { JobState, Progress } from '../../../shared/schemas/job.js';
import { ENDED_STATES, JOB_STATES } from '../../../shared/states.js';
import { Seeded } from '../../helpers/seeded.js';

type Disk = Pick<DiskRecord, 'state' | 'progress'>;

const GB = 1e9;

function progressOf(totalBytes: number, percent: number, bytesPerSecond = 0): Progress {
  const doneBytes = (totalBytes * percent) / 100;
  return {
    totalBytes,
    dataBytes: totalBytes / 4,
    zeroBytes: (totalBytes * 3) / 4,
    doneBytes,
    durableBytes: doneBytes / 2,
    verifiedBytes: 0,
    percent,
    bytesPerSecond,
    etaSeconds: null,
  };
}
const disk = (state: JobState, progress: Progress | null = null): Disk => ({ state, progress });
const disks = (...states: JobState[]) => states.map((state) => ({ state }));

describe('API: state of a VM', () => {
  for (const [states, expected] of [
    [['completed', 'completed'], 'completed'],
    [['completed', 'failed'], 'failed'],
    [['canceled', 'failed', 'completed'], 'failed'],
    [['completed', 'canceled'], 'canceled'],
    [['active', 'failed'], 'active'],
    [['active', 'queued', 'paused'], 'active'],
    [['completed', 'queued'], 'active'],
    [['failed', 'queued', 'paused'], 'active'],
    [['queued', 'queued'], 'queued'],
    [['queued', 'paused'], 'queued'],
    [['paused', 'paused'], 'paused'],
    [['completed', 'paused'], 'paused'],
    [['failed', 'paused'], 'paused'],
  ] as [JobState[], JobState][]) {
    it(`is ${expected} when its disks are ${states.join(', ')}`, () => {
      expect(vmState(disks(...states))).to.equal(expected);
      expect(vmState(disks(...states.toReversed())), 'the order does not matter').to.equal(expected);
    });
  }

  it('is paused in a paused batch, unless it runs still or has ended', () => {
    for (const states of [['queued'], ['completed', 'queued'], ['queued', 'paused']] as JobState[][]) {
      expect(vmState(disks(...states), true), states.join()).to.equal('paused');
    }
    expect(vmState(disks('active', 'queued'), true)).to.equal('active');
    expect(vmState(disks('completed', 'failed'), true)).to.equal('failed');
  });

  it('is that of its disk when it has only one', () => {
    for (const state of JOB_STATES) expect(vmState(disks(state))).to.equal(state);
  });
});

describe('API: progress of a batch', () => {
  it('is nothing before a disk was opened', () => {
    expect(batchProgress([disk('queued'), disk('active'), disk('failed')])).to.equal(null);
  });

  it('sums the bytes of the disks that were opened, and the rates of those that run', () => {
    const progress = batchProgress([
      disk('completed', progressOf(1 * GB, 100, 9e9)),
      disk('active', progressOf(4 * GB, 50, 3e8)),
      disk('active', progressOf(3 * GB, 0, 2e8)),
      disk('paused', progressOf(2 * GB, 50, 7e8)),
    ]);
    expect(progress).to.include({
      totalBytes: 10 * GB,
      dataBytes: 2.5 * GB,
      zeroBytes: 7.5 * GB,
      doneBytes: 4 * GB,
      durableBytes: 2 * GB,
      verifiedBytes: 0,
      bytesPerSecond: 5e8,
      percent: 40,
      etaSeconds: 12,
    });
  });

  it('counts a disk that was not opened as an average one of which nothing is done', () => {
    const opened = [disk('active', progressOf(3 * GB, 100, 1e9)), disk('active', progressOf(1 * GB, 0))];
    expect(batchProgress(opened)).to.include({ percent: 75, etaSeconds: 1 });
    const more = [...opened, disk('queued'), disk('queued')];
    expect(batchProgress(more)).to.include({ totalBytes: 4 * GB, percent: 37.5, etaSeconds: 5 });
  });

  it('leaves a disk that ended where it ended, and expects nothing more of it', () => {
    const ended = [disk('failed', progressOf(GB, 30)), disk('canceled'), disk('completed', progressOf(GB, 100))];
    expect(batchProgress(ended)).to.include({ percent: 43.3, bytesPerSecond: 0, etaSeconds: 0 });
  });

  it('knows no end without a rate', () => {
    expect(batchProgress([disk('paused', progressOf(GB, 30)), disk('queued')])).to.include({ etaSeconds: null });
  });

  it('expects a disk that is verified to be gone over twice', () => {
    const copying = { ...progressOf(GB, 50, 1e8), percent: 25 };
    expect(batchProgress([disk('active', copying)])?.etaSeconds).to.equal(15);
    const verifying = { ...progressOf(GB, 100, 1e8), verifiedBytes: GB / 2, percent: 75 };
    expect(batchProgress([disk('active', verifying)])?.etaSeconds).to.equal(5);
  });

  it('is 100 percent only when every disk is completed, whatever the numbers', () => {
    const random = new Seeded(41);
    for (let round = 0; round < 500; round += 1) {
      const some = Array.from({ length: random.between(1, 8) }, () => {
        const state = random.pick([...JOB_STATES, 'completed', 'completed', 'completed', 'completed'] as const);
        const opened = random.below(4) > 0;
        const percent = state === 'completed' ? 100 : random.pick([0, 50, 99.9, 100]);
        return disk(state, opened ? progressOf(random.between(1, 4 * GB), percent) : null);
      });
      const progress = batchProgress(some);
      if (progress === null) continue;
      const complete = some.every(({ state }) => state === 'completed');
      expect(progress.percent === 100, JSON.stringify(some)).to.equal(complete);
      expect(progress.percent).to.be.within(0, 100);
      const ended = some.every(({ state }) => ENDED_STATES.includes(state));
      expect(progress.etaSeconds === 0, JSON.stringify(some)).to.equal(ended);
    }
  });
});

describe('API: view of a batch', () => {
  const error = { code: 'STORAGE_IO', message: 'pread failed', errno: 5, syscall: 'pread' } as const;
  const id = (n: number) => `01890000-0000-7000-8000-00000000000${n}`;
  const detail: BatchDetail = {
    id: id(0),
    name: 'wave-1',
    pool: 'default',
    labels: { wave: '1' },
    maxConcurrentDisks: 2,
    onFailure: 'continue',
    state: 'active',
    counts: { queued: 0, active: 1, paused: 0, completed: 1, failed: 1, canceled: 0 },
    createdAt: '2026-01-01T00:00:00.000Z',
    startedAt: '2026-01-01T00:00:01.000Z',
    endedAt: null,
    version: 7,
    vms: [
      {
        name: 'web-1',
        disks: [
          record(1, { state: 'completed', progress: progressOf(GB, 100) }),
          record(2, { state: 'active', phase: 'copying', progress: progressOf(GB, 50, 1e8) }),
        ],
      },
      { name: 'web-2', disks: [record(3, { state: 'failed', error })] },
    ],
  };

  function record(n: number, extra: Partial<DiskRecord> & Pick<DiskRecord, 'state'>): DiskRecord {
    return { jobId: id(n), target: `/dev/vg/${n}`, phase: null, progress: null, error: null, ...extra };
  }

  it('is what the schema says, with its disks in order', () => {
    const view = batchView(detail);
    expect(BatchView.parse(view)).to.deep.equal(view);
    expect(view.links).to.deep.equal({ self: `/v1/batches/${id(0)}`, events: `/v1/batches/${id(0)}/events` });
    expect(view.vms.map(({ name, state }) => [name, state])).to.deep.equal([
      ['web-1', 'active'],
      ['web-2', 'failed'],
    ]);
    expect(view.vms[0]?.disks[1]).to.deep.equal({
      jobId: id(2),
      state: 'active',
      phase: 'copying',
      target: '/dev/vg/2',
      progress: progressOf(GB, 50, 1e8),
    });
    expect(view.vms[1]?.disks[0]?.error).to.deep.equal(error);
    expect(view).to.deep.nested.include({ counts: detail.counts, 'progress.percent': 50 });
  });

  it('leaves its disks out of a list', () => {
    const summary = batchSummary(detail);
    expect(BatchSummary.strict().parse(summary)).to.deep.equal(summary);
  });
});
