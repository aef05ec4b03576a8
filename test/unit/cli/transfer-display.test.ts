/** What a transfer without a job shows: lines in a pipe, JSON for programs. */
import { expect } from 'chai';
import { TransferDisplay } from '../../../services/cli/images-client/transfer-display.js';
import { MiB } from '../../../shared/units.js';
import { recorder } from './recorder.js';

describe('the display of a transfer', () => {
  function shown(json: boolean, steps: readonly (readonly [atMs: number, length: number])[]): string[] {
    const { screen, lines } = recorder();
    let nowMs = 0;
    const display = new TransferDisplay({ screen, json, stage: 'sending', now: () => nowMs });
    display.begin(10 * MiB);
    for (const [atMs, length] of steps) {
      nowMs = atMs;
      display.add(length);
    }
    display.completed();
    return lines;
  }

  it('is a line at each tenth and every few seconds, and one at the end', () => {
    const steps = [
      [100, 0.5 * MiB],
      [200, 0.25 * MiB],
      [1000, 0.25 * MiB],
      [2000, 0.5 * MiB],
      [7000, 0.25 * MiB],
      [10_000, 8.25 * MiB],
    ] as const;
    expect(shown(false, steps)).to.deep.equal([
      'sending  10.0 %  1 MiB of 10 MiB  1 MiB/s  9 s left',
      'sending  17.5 %  1.7 MiB of 10 MiB  256 KiB/s  33 s left',
      'sending  100.0 %  10 MiB of 10 MiB  1 MiB/s',
      'completed: 10 MiB in 10.0 s (1 MiB/s)',
    ]);
  });

  it('is JSON for programs, and never says more than all', () => {
    const lines = shown(true, [
      [1000, 6 * MiB],
      [2000, 6 * MiB],
    ]).map((line) => JSON.parse(line));
    expect(lines).to.deep.equal([
      { totalBytes: 10 * MiB, doneBytes: 6 * MiB, bytesPerSecond: 6 * MiB },
      { totalBytes: 10 * MiB, doneBytes: 10 * MiB, bytesPerSecond: 5 * MiB },
      { totalBytes: 10 * MiB, doneBytes: 10 * MiB, bytesPerSecond: 5 * MiB, state: 'completed', durationMs: 2000 },
    ]);
  });
});
