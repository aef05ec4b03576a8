/** What people see of a job: words, lines in a pipe, tables. */
import { expect } from 'chai';
import { JsonDisplay } from '../../../services/cli/display.js';
import { LineDisplay } from '../../../services/cli/display-lines.js';
import { explain } from '../../../services/cli/failure.js';
import { jobLines, jobTable, planLines, resultLines } from '../../../services/cli/report.js';
import { cut, formatDuration, inColumn, jobStage, jobTitle, printable } from '../../../services/cli/words.js';
import { FerryError } from '../../../shared/errors.js';
import type { JobResult, Plan } from '../../../shared/schemas/job.js';
import { GiB, MiB } from '../../../shared/units.js';
import { completedJob, exampleJob, exampleProgress } from './example-job.js';
import { recorder } from './recorder.js';

describe('what the command line shows', () => {
  const durations: [number, string][] = [
    [0.4, '0 ms'],
    [999.4, '999 ms'],
    [1000, '1.0 s'],
    [59_999, '59.9 s'],
    [60_000, '1 min 0 s'],
    [3_599_900, '1 h 0 min'],
    [7_260_000, '2 h 1 min'],
  ];
  for (const [ms, text] of durations) {
    it(`writes ${ms} ms as ${text}`, () => expect(formatDuration(ms)).to.equal(text));
  }

  it('prints a line at each phase, each tenth, and after five quiet seconds, and no more', () => {
    const { screen, lines } = recorder();
    let now = 100_000;
    const display = new LineDisplay(screen, () => now);
    display.changed(exampleJob({ state: 'queued', phase: null, progress: null }));
    display.changed(exampleJob({ phase: 'zeroing', progress: exampleProgress(1) }));
    display.changed(exampleJob({ phase: 'zeroing', progress: exampleProgress(2) })); // nothing new
    display.changed(exampleJob({ phase: 'zeroing', progress: exampleProgress(11) }));
    now += 5000;
    display.changed(exampleJob({ phase: 'zeroing', progress: exampleProgress(12) }));
    display.changed(exampleJob({ phase: 'copying', progress: exampleProgress(12) }));
    expect(lines.map((line) => line.split('  ').slice(0, 2).join(' '))).to.deep.equal([
      'queued',
      'zeroing 1.0 %',
      'zeroing 11.0 %',
      'zeroing 12.0 %',
      'copying 12.0 %',
    ]);
    expect(lines[1]).to.include('100 MiB/s').and.include('12 s left');
  });

  it('says why a job waits for another attempt', () => {
    const { screen, lines } = recorder();
    const error = { code: 'STORAGE_IO' as const, message: 'the disk is ill' };
    new LineDisplay(screen).changed(exampleJob({ state: 'queued', phase: null, progress: null, error }));
    expect(lines).to.deep.equal(['queued  again, after: the disk is ill (STORAGE_IO)']);
  });

  it('tells what was done by which method, how long it took and how fast it was', () => {
    const text = resultLines(completedJob()).join('\n');
    expect(text).to.include('1 GiB in 2.0 s (512 MiB/s)');
    expect(text).to.include('200 MiB with direct I/O; 1 MiB of data were zeroes');
    expect(text).to.include('1 GiB by fallocate-zero-range, 8 calls of 10 ms');
    expect(text).to.include('zero-first: zeroing is cheap').and.include('copying 1.8 s');
    expect(text).to.include('sha256 abc123').and.include('a warning');
  });

  it('tells what an earlier attempt had made durable, and does not count it as speed', () => {
    const job = completedJob();
    const resumed = { ...job, result: { ...(job.result as JobResult), resumedBytes: 512 * MiB } };
    const text = resultLines(resumed).join('\n');
    expect(text).to.include('512 MiB were durable before').and.include('1 GiB in 2.0 s (256 MiB/s)');
    const all = { ...job, result: { ...(job.result as JobResult), resumedBytes: GiB } };
    expect(resultLines(all)[0]).to.equal('completed: 1 GiB in 2.0 s');
  });

  it('prints each version of a job as one line of JSON', () => {
    const { screen, lines } = recorder();
    const display = new JsonDisplay(screen);
    display.changed(exampleJob());
    display.changed(completedJob());
    display.ended();
    expect(lines.map((line) => JSON.parse(line).state)).to.deep.equal(['active', 'completed']);
  });

  it('lists jobs in columns without spaces at the ends of lines', () => {
    const [head, first, second] = jobTable([exampleJob(), completedJob()]).split('\n');
    expect(head).to.match(/^ID +STATE +DONE +CREATED +WHAT +LABELS$/);
    expect(first).to.match(/copying +50 % +2026-01-02 03:04:05 +\/srv\/a\.img -> \/dev\/vg\/lv +vm=web-1$/);
    expect(second).to.include('completed');
  });

  it('shows a job and a plan in full', () => {
    expect(jobLines(exampleJob()).join('\n')).to.include('/srv/a.img -> /dev/vg/lv').and.include('50 % of 1 GiB');
    const plan = completedJob().result?.plan as Plan;
    expect(planLines(plan).join('\n')).to.include('nothing was written').and.include('200 MiB in 3 extents');
    expect(
      jobTitle({ kind: 'zero', target: { type: 'file', path: '/a' }, ranges: [{ start: 0, length: 1 }] }),
    ).to.equal('zero /a (1 range)');
  });

  it('shows what was asked of a job and is not done, its limit and its batch', () => {
    const { options } = exampleJob();
    const text = jobLines(
      exampleJob({
        requested: 'pause',
        options: { ...options, bandwidthBytesPerSecond: 10 * MiB, priority: 7 },
        batch: { id: '01a20593-8e73-76f8-a0cc-faed16ae8400', vm: 'web-1' },
      }),
    ).join('\n');
    expect(text)
      .to.match(/state +pausing/)
      .and.match(/bandwidth +at most 10 MiB\/s/);
    expect(text)
      .to.match(/priority +7/)
      .and.match(/batch +01a20593-8e73-76f8-a0cc-faed16ae8400, VM web-1/);
    expect(jobStage(exampleJob({ requested: 'cancel' }))).to.equal('canceling');
  });

  it('lets nobody else move the cursor', () => {
    expect(printable('/srv/\x1b[2Ja\u009b.img\r\tb\n')).to.equal('/srv/\ufffd[2Ja\ufffd.img\ufffd\tb\n');
  });

  it('cuts and fills by what a terminal shows, not by characters', () => {
    expect(inColumn('web-1', 7)).to.equal('web-1  ');
    expect(inColumn('web-server', 7)).to.equal('web-se…');
    expect(inColumn('データ', 7)).to.equal('データ ');
    expect(inColumn('データベース', 6)).to.equal('デー… ');
    expect(inColumn('e\u0301e\u0301e\u0301', 2)).to.equal('e\u0301…');
    expect(cut('web-1', 0)).to.equal('');
  });

  it('explains an error by message, code and advice, and shows a stack only when asked', () => {
    const error = new FerryError('TARGET_BUSY', '/dev/sda is in use');
    const lines = explain(error, false);
    expect(lines[0]).to.equal('ferry: /dev/sda is in use (TARGET_BUSY)');
    expect(lines[1]).to.include('unmount');
    expect(lines.join('\n')).to.not.match(/ at .*\.js:/);
    expect(explain(error, true).join('\n')).to.match(/ at /);
  });
});
