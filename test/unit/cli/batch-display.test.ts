/** What people see of a batch: rows on a terminal, lines in a pipe, tables, its end. */
import { expect } from 'chai';
import stringWidth from 'string-width';
import { BatchLineDisplay } from '../../../services/cli/batch/display-lines.js';
import { layOut } from '../../../services/cli/batch/layout.js';
import { batchEndLines, batchLines, batchTable, failureLines } from '../../../services/cli/batch/report.js';
import { summarizeVm } from '../../../services/cli/batch/summary.js';
import { nodeTable } from '../../../services/cli/node-table.js';
import type { BatchVmView } from '../../../shared/schemas/batch.js';
import type { NodeView } from '../../../shared/schemas/node.js';
import { GiB, MiB } from '../../../shared/units.js';
import { endedBatch, exampleBatch, exampleDisk, exampleVm } from './example-batch.js';
import { exampleProgress } from './example-job.js';
import { recorder } from './recorder.js';

const running = exampleVm('web-1', 'active', exampleDisk(1, 'completed', 100), exampleDisk(2, 'active', 20));
const waiting = exampleVm('db-1', 'queued', exampleDisk(3, 'queued'));
const broken = exampleVm('mail', 'failed', exampleDisk(4, 'failed', 30));

describe('a VM in few numbers', () => {
  it('counts a disk that was not opened as an average one', () => {
    const vm = exampleVm('web-1', 'active', exampleDisk(1, 'completed', 100), exampleDisk(2, 'queued'));
    expect(summarizeVm(vm)).to.include({ percent: 50, doneDisks: 1, disks: 2, bytesPerSecond: 0, stage: 'waiting' });
    expect(summarizeVm(waiting).percent).to.equal(0);
  });

  it('weighs disks by their size, and never rounds up to 100', () => {
    const large = { ...exampleDisk(1, 'active'), progress: { ...exampleProgress(99.9), totalBytes: 99 * GiB } };
    const vm = exampleVm('web-1', 'active', large, exampleDisk(2, 'completed', 100));
    expect(summarizeVm(vm).percent).to.equal(99.9);
  });

  it('tells the phase and the rate of what runs', () => {
    expect(summarizeVm(running)).to.include({ stage: 'copying', bytesPerSecond: 100 * MiB });
  });
});

describe('a batch on a terminal', () => {
  it('has a row for each VM and one for the total', () => {
    const { vms, foot } = layOut(exampleBatch([running, waiting, broken]), { columns: 100, rows: 24 });
    expect(vms).to.have.length(3);
    expect(vms[0]).to.match(/^web-1 {2}copying {4}█+░+ {3}60\.0 % {2}1\/2 {2}100 MiB\/s$/);
    expect(vms[1]).to.match(/^db-1 {3}queued {5}░+ {4}0\.0 % {2}0\/1$/);
    expect(vms[2]).to.match(/^mail {3}failed .* 30\.0 % {2}0\/1 {2}STORAGE_FULL: no space left$/);
    expect(foot).to.have.length(1);
    expect(foot[0]).to.match(/^total {2}active .* 50\.0 % {2}1\/4 {2}100 MiB\/s {2}12 s left/);
  });

  const many = (names: (n: number) => string): BatchVmView[] =>
    Array.from({ length: 60 }, (_, n) =>
      n < 20
        ? exampleVm(names(n), 'completed', exampleDisk(n, 'completed', 100))
        : n < 25
          ? exampleVm(names(n), 'active', exampleDisk(n, 'active', n))
          : exampleVm(names(n), 'queued', exampleDisk(n, 'queued')),
    );

  it('shows those that run and sums up the rest when there are more VMs than rows', () => {
    const { vms, foot } = layOut(exampleBatch(many((n) => `vm-${n}`)), { columns: 80, rows: 24 });
    expect(vms.map((row) => row.slice(0, 5))).to.deep.equal(['vm-20', 'vm-21', 'vm-22', 'vm-23', 'vm-24']);
    expect(foot[0]).to.equal('55 more VMs: 35 queued, 20 completed');
    expect(foot[1]).to.match(/^total/);
  });

  it('shows no more of those that run than there is room for', () => {
    const { vms, foot } = layOut(exampleBatch(many((n) => `vm-${n}`)), { columns: 80, rows: 6 });
    expect(vms).to.have.length(3);
    expect(foot[0]).to.equal('57 more VMs: 35 queued, 2 active, 20 completed');
  });

  for (const columns of [20, 40, 60, 80, 120, 300]) {
    it(`never fills more than the ${columns} columns that there are`, () => {
      const names = (n: number) => (n % 2 === 0 ? `データベース-${'x'.repeat(n)}` : `vm-${n}`);
      const { vms, foot } = layOut(exampleBatch([...many(names), broken]), { columns, rows: 100 });
      for (const row of [...vms, ...foot]) expect(stringWidth(row), row).to.be.at.most(columns);
      if (columns >= 80) expect(new Set(vms.map((row) => stringWidth(row.split(' %')[0] as string))).size).to.equal(1);
    });
  }
});

describe('a batch in a pipe', () => {
  it('prints the total now and then, and each disk that ends, once', () => {
    const { screen, lines } = recorder();
    let now = 100_000;
    const display = new BatchLineDisplay(screen, () => now);
    const one = (percent: number) => exampleVm('web-1', 'active', exampleDisk(1, 'active', percent));
    display.changed(exampleBatch([one(1)], { state: 'queued', progress: null }));
    display.changed(exampleBatch([one(1)], { progress: exampleProgress(1) }));
    display.changed(exampleBatch([one(2)], { progress: exampleProgress(2) })); // nothing new
    display.changed(exampleBatch([one(2)], { progress: exampleProgress(11) }));
    now += 5000;
    display.changed(exampleBatch([one(2)], { progress: exampleProgress(12) }));
    const both = exampleVm('db-1', 'failed', exampleDisk(2, 'completed', 100), exampleDisk(3, 'failed'));
    display.changed(exampleBatch([both], { progress: exampleProgress(13) }));
    display.changed(exampleBatch([both], { progress: exampleProgress(14) }));
    expect(lines).to.deep.equal([
      'queued  0 of 1 disk',
      'active  1.0 %  0 of 1 disk  10.2 MiB of 1 GiB  100 MiB/s  12 s left',
      'active  11.0 %  0 of 1 disk  112.6 MiB of 1 GiB  100 MiB/s  12 s left',
      'active  12.0 %  0 of 1 disk  122.8 MiB of 1 GiB  100 MiB/s  12 s left',
      'db-1 /dev/vg/disk-2  completed  1 GiB',
      'db-1 /dev/vg/disk-3  failed  no space left (STORAGE_FULL)',
      'db-1  failed  2 disks',
    ]);
  });

  it('tells how much was read back, which counts when nothing is left to copy', () => {
    const { screen, lines } = recorder();
    const progress = { ...exampleProgress(75), doneBytes: GiB, verifiedBytes: GiB / 2 };
    new BatchLineDisplay(screen).changed(exampleBatch([running], { progress }));
    expect(lines.at(-1)).to.include('1 GiB of 1 GiB, 512 MiB verified');
  });

  it('tells a second end of a disk that was tried again', () => {
    const { screen, lines } = recorder();
    const display = new BatchLineDisplay(screen, () => 0);
    for (const state of ['failed', 'queued', 'failed'] as const)
      display.changed(exampleBatch([exampleVm('web-1', state, exampleDisk(1, state))]));
    expect(lines.filter((line) => line.includes('failed'))).to.have.length(2);
  });
});

describe('a batch that has ended', () => {
  it('says how much was done, in which time and how fast', () => {
    const vms = [exampleVm('web-1', 'completed', exampleDisk(1, 'completed', 100), exampleDisk(2, 'completed', 100))];
    expect(batchEndLines(endedBatch('completed', vms))).to.deep.equal([
      'completed: 1 VM, 2 disks, 1 GiB in 10.0 s (102.3 MiB/s)',
    ]);
    expect(failureLines(endedBatch('completed', vms))).to.deep.equal([]);
  });

  it('names every disk that failed, with code, target and what to do', () => {
    const stopped = exampleVm('db-1', 'canceled', exampleDisk(3, 'canceled'));
    const batch = endedBatch('failed', [broken, stopped]);
    expect(batchEndLines(batch)).to.deep.equal([
      'failed: 0 of 2 VMs, 0 of 2 disks, 1 GiB in 10.0 s (102.3 MiB/s)',
      '  1 disk failed',
      '  1 disk canceled',
    ]);
    expect(failureLines(batch)).to.deep.equal([
      'ferry: mail /dev/vg/disk-4: no space left (STORAGE_FULL)',
      `  free some space, then "ferry retry ${exampleDisk(4, 'failed').jobId}"`,
      `ferry: "ferry batch retry ${batch.id}" queues what failed once more`,
    ]);
  });

  it('does not bury its reader in failures', () => {
    const disks = Array.from({ length: 100 }, (_, n) => exampleDisk(n, 'failed'));
    const lines = failureLines(endedBatch('failed', [exampleVm('web-1', 'failed', ...disks)]));
    expect(lines).to.have.length(42);
    expect(lines.at(-2)).to.include('80 more').and.include('ferry jobs --batch');
  });
});

describe('tables', () => {
  it('shows a batch in full', () => {
    const text = batchLines(exampleBatch([running, waiting, broken])).join('\n');
    expect(text).to.match(/disks +1 of 4 done, 1 queued, 1 active, 1 failed; at most 10 at once/);
    expect(text)
      .to.match(/labels +wave=1/)
      .and.match(/rate +100 MiB\/s, 12 s left/);
    expect(text).to.match(/^VM +STATE +DISKS +DONE +RATE +ERROR$/m);
    expect(text).to.match(/^web-1 +copying +1\/2 +60 % +100 MiB\/s$/m);
    expect(text).to.match(/^mail +failed +0\/1 +30 % +STORAGE_FULL: no space left$/m);
  });

  it('lists batches', () => {
    const [head, first] = batchTable([exampleBatch([running])]).split('\n');
    expect(head).to.match(/^ID +STATE +DISKS +CREATED +NAME +POOL$/);
    expect(first).to.match(/active +1 of 2 done, 1 active +2026-01-02 03:04:05 +wave-1 +default$/);
  });

  it('lists nodes, and no load of one that is gone', () => {
    const node: NodeView = {
      name: 'node-1',
      instance: 'a',
      version: '1.2.3',
      host: 'host',
      pid: 7,
      state: 'up',
      pools: ['default', 'fast'],
      concurrency: 4,
      threads: 8,
      bandwidthBytesPerSecond: null,
      load: { jobs: 3, busyThreads: 5, bytesPerSecond: 200 * MiB, eventLoopDelayP99Ms: 1 },
      startedAt: '2026-01-02T03:04:05.000Z',
      heardAt: '2026-01-02T03:05:05.000Z',
    };
    const lost = { ...node, name: 'node-2', state: 'lost' as const };
    const text = nodeTable([node, lost], Date.parse('2026-01-02T03:05:07.500Z'));
    expect(text).to.match(/^NAME +STATE +POOLS +JOBS +RATE +VERSION +HEARD$/m);
    expect(text).to.match(/^node-1 +up +default,fast +3\/4 +200 MiB\/s +1\.2\.3 +2\.5 s ago$/m);
    expect(text).to.match(/^node-2 +lost +default,fast +1\.2\.3 +2\.5 s ago$/m);
  });
});
