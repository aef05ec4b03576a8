/**
 * Copies ranges of a source to the same place in a target, or shares their blocks where that is asked for. What turns out to be zeroes is zeroed, or
 * left alone where the target already reads as zeroes; that keeps holes and saves writing.
 * Blocks the thread for the whole step; hears "stop" before every system call that moves data.
 */
import { FerryError } from '../../shared/errors.js';
import { unpack } from '../../shared/ranges.js';
import { alignDown, end, type Range } from '../../shared/units.js';
import { view } from '../buffers.js';
import { ControlBlock } from '../control.js';
import { guardedIo } from '../guarded-io.js';
import type { NativeIo } from '../native/index.js';
import { canClone as askClone, cloneBlocks } from '../storage/clone.js';
import { FILE_UNIT } from '../storage/handle.js';
import { type Run, runsOf } from '../storage/runs.js';
import { readSource, writeTarget } from '../storage/transfer.js';
import { zeroTarget } from '../storage/zero.js';
import type { CopyStep, TaskFunction } from './contracts.js';

export const copy: TaskFunction<'copy'> = (step) => {
  const control = new ControlBlock(step.control);
  const copier = new Copier(guardedIo(control), step, control);
  for (const range of unpack(step.ranges)) {
    const cloned = step.clone ? copier.cloneRange(range) : 0;
    copier.copyRange({ start: range.start + cloned, length: range.length - cloned });
  }
};

export const canClone: TaskFunction<'canClone'> = ({ source, target, imageBytes, control }) =>
  askClone(guardedIo(new ControlBlock(control)), source, target, imageBytes);

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

  /** @returns how much of it needs no copy: whole blocks, or nothing */
  cloneRange({ start, length }: Range): number {
    const { source, target } = this.step;
    const whole = alignDown(length, FILE_UNIT);
    this.control.check();
    if (whole === 0 || !cloneBlocks(this.io, source, target, { start, length: whole })) return 0;
    this.control.add('cloned', whole);
    this.control.add('done', whole);
    return whole;
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
      if (this.step.detectZeroes) {
        for (const run of runsOf(this.io, this.#buffer, length, position)) this.#settleRun(run, position);
      } else this.#write(0, length, position);
      position += length;
    }
    this.#settlePendingZero();
  }

  #settleRun({ isZero, offset, length }: Run, position: number): void {
    if (isZero) this.#addZero({ start: position + offset, length });
    else this.#write(offset, length, position + offset);
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
