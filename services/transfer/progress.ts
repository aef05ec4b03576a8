/**
 * What a client sees of a running job: sampled from the control block, never pushed by a thread.
 * `doneBytes` counts what is settled, `durableBytes` what a flush has confirmed; 100 % means durable
 * (and verified, where that was asked for).
 */
import { performance } from 'node:perf_hooks';
import type { JobPhase, Progress } from '../../shared/schemas/job.js';
import type { ControlBlock } from '../../workers/control.js';

export interface Totals {
  readonly totalBytes: number;
  readonly dataBytes: number;
  /** Zero bytes that need no call: they are done from the start. */
  readonly givenBytes: number;
  /** Bytes that a zero over everything covers before data is copied; 0 in every other plan. */
  readonly zeroFirstBytes: number;
  readonly verify: boolean;
}

/** Weight of the newest sample in the rate: quick to follow, slow enough to be read. */
const SMOOTHING = 0.3;

export class JobProgress {
  phase: JobPhase = 'opening';
  durableBytes = 0;
  /** Of what is done: what an earlier attempt did. */
  resumedBytes = 0;
  readonly phaseMs: Partial<Record<JobPhase, number>> = {};
  #totals: Totals | null = null;
  #phaseSince = performance.now();
  #rate = 0;
  #lastSample = { atMs: performance.now(), work: 0 };

  constructor(readonly control: ControlBlock) {}

  enter(phase: JobPhase): void {
    const now = performance.now();
    this.phaseMs[this.phase] = (this.phaseMs[this.phase] ?? 0) + (now - this.#phaseSince);
    this.#phaseSince = now;
    this.phase = phase;
  }

  /** Ends the last phase. */
  end(): void {
    this.enter(this.phase);
  }

  set totals(totals: Totals) {
    this.#totals = totals;
  }

  /**
   * What an earlier attempt made durable counts as done from the start. Call when the totals are known.
   * @param done    bytes that it settled for good
   * @param zeroed  bytes that it zeroed in a zero over everything
   */
  resume(done: number, zeroed: number): void {
    this.control.add('done', done);
    this.control.add('zeroed', zeroed);
    this.durableBytes = this.doneBytes;
    this.resumedBytes = this.doneBytes - (this.#totals?.givenBytes ?? 0);
    // Or the first sample would call it the work of a moment.
    this.#lastSample = { atMs: performance.now(), work: this.doneBytes };
  }

  get doneBytes(): number {
    const totals = this.#totals;
    if (totals === null) return 0;
    const settled = totals.givenBytes + this.control.read('done');
    if (totals.zeroFirstBytes === 0) return Math.min(settled, totals.totalBytes);
    // Zeroing all of the target settles the zero part, in proportion to how far it has come.
    const share = Math.min(1, this.control.read('zeroed') / totals.zeroFirstBytes);
    return Math.min(settled + Math.floor(share * (totals.totalBytes - totals.dataBytes)), totals.totalBytes);
  }

  /** Of what is durable: what this attempt copied or zeroed. */
  get madeDurableBytes(): number {
    return Math.max(0, this.durableBytes - this.resumedBytes - (this.#totals?.givenBytes ?? 0));
  }

  /** null before the totals are known. Call at a steady pace: the rate is that between two calls. */
  sample(): Progress | null {
    const totals = this.#totals;
    if (totals === null) return null;
    const done = this.doneBytes;
    const verified = Math.min(this.control.read('verified'), totals.totalBytes);
    const goal = totals.totalBytes * (totals.verify ? 2 : 1);
    const work = done + (totals.verify ? verified : 0);
    this.#updateRate(work);
    const ended = this.durableBytes >= totals.totalBytes && work >= goal;
    // Rounding up to 100 before the last flush is the peers' "stuck at 99 %" turned into a lie.
    const percent = ended ? 100 : Math.min(99.9, Math.floor((work / goal) * 1000) / 10);
    return {
      totalBytes: totals.totalBytes,
      dataBytes: totals.dataBytes,
      zeroBytes: totals.totalBytes - totals.dataBytes,
      doneBytes: done,
      durableBytes: this.durableBytes,
      verifiedBytes: verified,
      percent,
      bytesPerSecond: Math.round(this.#rate),
      etaSeconds: ended ? 0 : this.#rate > 0 ? Math.ceil((goal - work) / this.#rate) : null,
    };
  }

  #updateRate(work: number): void {
    const now = performance.now();
    const seconds = (now - this.#lastSample.atMs) / 1000;
    if (seconds < 0.05) return;
    const rate = (work - this.#lastSample.work) / seconds;
    this.#rate = this.#rate === 0 ? rate : this.#rate + SMOOTHING * (rate - this.#rate);
    this.#lastSample = { atMs: now, work };
  }
}
