/** What people see of a job: words, lines in a pipe, tables. */
import { expect } from 'chai';
import type { Screen } from '../../../services/cli/context.js';
import { JsonDisplay, LineDisplay } from '../../../services/cli/display-lines.js';
import { explain } from '../../../services/cli/failure.js';
import { jobLines, jobTable, planLines, resultLines } from '../../../services/cli/report.js';
import { formatDuration, jobTitle } from '../../../services/cli/words.js';
import { FerryError } from '../../../shared/errors.js';
import type { Plan } from '../../../shared/schemas/job.js';
import { completedJob, exampleJob, exampleProgress } from './example-job.js';

function recorder(): { screen: Screen; lines: string[] } {
  const lines: string[] = [];
  return { lines, screen: { line: (text) => lines.push(text), note: () => {}, terminal: false, columns: 80 } };
}

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

  it('explains an error by message, code and advice, and shows a stack only when asked', () => {
    const error = new FerryError('TARGET_BUSY', '/dev/sda is in use');
    const lines = explain(error, false);
    expect(lines[0]).to.equal('ferry: /dev/sda is in use (TARGET_BUSY)');
    expect(lines[1]).to.include('unmount');
    expect(lines.join('\n')).to.not.match(/ at .*\.js:/);
    expect(explain(error, true).join('\n')).to.match(/ at /);
  });
});
