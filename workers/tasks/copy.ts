/**
 * Copies ranges of a source to the same place in a target. What turns out to be zeroes is zeroed, or
 * left alone where the target already reads as zeroes; that keeps holes and saves writing.
 * Blocks the thread for the whole step; hears "stop" before every system call that moves data.
 */
import { FerryError } from '../../shared/errors.js';
import { unpack } from '../../shared/ranges.js';
import { alignUp, end, KiB, type Range } from '../../shared/units.js';
import { view } from '../buffers.js';
import { ControlBlock } from '../control.js';
import { guardedIo } from '../guarded-io.js';
import type { NativeIo } from '../native/index.js';
import { readSource, writeTarget } from '../storage/transfer.js';
import { zeroTarget } from '../storage/zero.js';
import type { CopyStep, TaskFunction } from './contracts.js';

/** Zeroes shorter than this are written like data: a call of their own would cost more. */
const GRANULE = 64 * KiB;

export const copy: TaskFunction<'copy'> = (step) => {
  const control = new ControlBlock(step.control);
  const copier = new Copier(guardedIo(control), step, control);
  for (const range of unpack(step.ranges)) copier.copyRange(range);
};

class Copier {
  readonly #buffer: Uint8Array;
  /** Zeroes met but not yet zeroed: neighbours join, so that one call covers them. */
  #pendingZero: Range | null = null;

  constructor(
    private readonly io: NativeIo,
    private readonly step: CopyStep,
    private readonly control: ControlBlock,
  ) {
    this.#buffer = view(step.buffer);
  }

  copyRange(range: Range): void {
    const { source } = this.step;
    let position = range.start;
    while (position < end(range)) {
      this.control.check();
      const length = Math.min(this.#buffer.length, end(range) - position);
      const count = readSource(this.io, source, this.#buffer, 0, length, position);
      if (count < length)
        throw new FerryError('SOURCE_CHANGED', `${source.path} became shorter while it was read`, {
          path: source.path,
        });
      if (this.step.detectZeroes) this.#settleRuns(position, length);
      else this.#write(0, length, position);
      position += length;
    }
    this.#settlePendingZero();
  }

  /** Splits what was read into runs of data and of zeroes, cut at multiples of the granule. */
  #settleRuns(position: number, length: number): void {
    let runStart = 0;
    let runIsZero: boolean | null = null;
    let offset = 0;
    while (offset < length) {
      const stop = Math.min(alignUp(position + offset + 1, GRANULE) - position, length);
      const isZero = this.io.isZero(this.#buffer, offset, stop - offset);
      if (runIsZero !== null && isZero !== runIsZero) {
        this.#settleRun(runIsZero, runStart, offset, position);
        runStart = offset;
      }
      runIsZero = isZero;
      offset = stop;
    }
    if (runIsZero !== null) this.#settleRun(runIsZero, runStart, length, position);
  }

  #settleRun(isZero: boolean, start: number, stop: number, position: number): void {
    if (isZero) this.#addZero({ start: position + start, length: stop - start });
    else this.#write(start, stop - start, position + start);
  }

  #write(offset: number, length: number, position: number): void {
    this.#settlePendingZero();
    this.control.check();
    writeTarget(this.io, this.step.target, this.#buffer, offset, length, position);
    this.control.add('copied', length);
    this.control.add('done', length);
  }

  #addZero(range: Range): void {
    const pending = this.#pendingZero;
    if (pending === null) this.#pendingZero = range;
    else this.#pendingZero = { start: pending.start, length: pending.length + range.length };
  }

  #settlePendingZero(): void {
    const range = this.#pendingZero;
    if (range === null) return;
    this.#pendingZero = null;
    if (!this.step.targetZeroed) zeroTarget(this.io, this.step.target, range, this.step.allocation, this.#meter);
    this.control.add('detectedZero', range.length);
    this.control.add('done', range.length);
  }

  readonly #meter = {
    check: () => this.control.check(),
    addZeroed: (...use: Parameters<ControlBlock['addZeroed']>) => this.control.addZeroed(...use),
  };
}
