/**
 * Copies ranges of a source to the same place in a target, or shares their blocks where that is asked for. What turns out to be zeroes is zeroed, or
 * left alone where the target already reads as zeroes; that keeps holes and saves writing.
 * Blocks the thread for the whole step; hears "stop" before every system call that moves data.
 */
import { FerryError } from '../../shared/errors.js';
import { unpack } from '../../shared/ranges.js';
import { alignDown, alignUp, end, type Range } from '../../shared/units.js';
import { MEMORY_ALIGNMENT, view } from '../buffers.js';
import { ControlBlock } from '../control.js';
import { guardedIo } from '../guarded-io.js';
import type { NativeIo } from '../native/index.js';
import { canClone as askClone, cloneBlocks } from '../storage/clone.js';
import { FILE_UNIT } from '../storage/handle.js';
import { runsOf } from '../storage/runs.js';
import { type Part, readSource, writeParts } from '../storage/transfer.js';
import { zeroTarget } from '../storage/zero.js';
import type { CopyStep, TaskFunction } from './contracts.js';

export const copy: TaskFunction<'copy'> = (step) => {
  const control = new ControlBlock(step.control);
  const copier = new Copier(guardedIo(control), step, control);
  for (const range of unpack(step.ranges)) {
    const cloned = step.clone ? copier.cloneRange(range) : 0;
    copier.copyRange({ start: range.start + cloned, length: range.length - cloned });
  }
  copier.finish();
};

export const canClone: TaskFunction<'canClone'> = ({ source, target, imageBytes, control }) =>
  askClone(guardedIo(new ControlBlock(control)), source, target, imageBytes);

/**
 * Collects what it reads in one buffer until that is full: small ranges are written together, large ones alone. What is
 * zeroed is collected as well, so that neighbours share a call.
 */
class Copier {
  readonly #buffer: Uint8Array;
  /** Of the buffer: what comes behind is free. */
  #filled = 0;
  #parts: Part[] = [];
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

  /** Call `finish` after the last one. */
  copyRange(range: Range): void {
    const { source } = this.step;
    let position = range.start;
    while (position < end(range)) {
      const left = end(range) - position;
      // What does not fit behind the others has the buffer for itself.
      if (left > this.#buffer.length - this.#filled) this.#write();
      this.control.check();
      const length = Math.min(this.#buffer.length - this.#filled, left);
      const count = readSource(this.io, source, this.#buffer, this.#filled, length, position);
      if (count < length)
        throw new FerryError('SOURCE_CHANGED', `${source.path} became shorter while it was read`, {
          path: source.path,
        });
      this.#take(length, position);
      position += length;
    }
    this.#settlePendingZero();
  }

  finish(): void {
    this.#write();
  }

  /** Buffer[filled, filled + length) is the image from `position`. */
  #take(length: number, position: number): void {
    const start = this.#filled;
    this.#filled = Math.min(alignUp(start + length, MEMORY_ALIGNMENT), this.#buffer.length);
    if (!this.step.detectZeroes) {
      this.#parts.push({ offset: start, length, position });
      return;
    }
    for (const run of runsOf(this.io, this.#buffer.subarray(start), length, position)) {
      if (run.isZero) this.#addZero({ start: position + run.offset, length: run.length });
      else this.#parts.push({ offset: start + run.offset, length: run.length, position: position + run.offset });
    }
  }

  #write(): void {
    const parts = this.#parts;
    this.#parts = [];
    this.#filled = 0;
    if (parts.length === 0) return;
    this.control.check();
    writeParts(this.io, this.step.target, this.#buffer, parts);
    const written = parts.reduce((total, { length }) => total + length, 0);
    this.control.add('copied', written);
    this.control.add('done', written);
  }

  #addZero(range: Range): void {
    const pending = this.#pendingZero;
    if (pending !== null && end(pending) === range.start) {
      this.#pendingZero = { start: pending.start, length: pending.length + range.length };
      return;
    }
    this.#settlePendingZero();
    this.#pendingZero = range;
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
