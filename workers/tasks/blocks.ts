/**
 * What a client of the data plane does with its own storage: reads a block and tells what of it is data, or writes one
 * that it received. Blocks the thread for one block.
 */
import { FerryError } from '../../shared/errors.js';
import { view } from '../buffers.js';
import { ControlBlock } from '../control.js';
import { guardedIo } from '../guarded-io.js';
import { hashMaker } from '../hashes.js';
import { runsOf } from '../storage/runs.js';
import { readHandle, writeTarget } from '../storage/transfer.js';
import { zeroTarget } from '../storage/zero.js';
import { threadIo } from '../timed-io.js';
import type { TaskFunction } from './contracts.js';

export const readBlock: TaskFunction<'readBlock'> = async ({ handle, buffer, length, position, algorithm }) => {
  const make = algorithm === null ? null : await hashMaker(algorithm);
  const io = threadIo();
  const bytes = view(buffer).subarray(0, length);
  if (readHandle(io, handle, bytes, 0, length, position) < length) {
    throw new FerryError('SOURCE_CHANGED', `${handle.path} became shorter while it was read`, { path: handle.path });
  }
  const data: number[] = [];
  for (const run of runsOf(io, bytes, length, position)) if (!run.isZero) data.push(run.offset, run.length);
  if (make === null) return { data: Float64Array.from(data), digest: null };
  const hash = make();
  hash.update(bytes);
  return { data: Float64Array.from(data), digest: hash.digest() };
};

export const writeBlock: TaskFunction<'writeBlock'> = (step) => {
  const { target, buffer, length, position, targetZeroed, allocation } = step;
  const control = new ControlBlock(step.control);
  const io = guardedIo(control);
  const bytes = view(buffer);
  const meter = {
    check: () => control.check(),
    addZeroed: (...use: Parameters<ControlBlock['addZeroed']>) => control.addZeroed(...use),
  };
  for (const { offset, length: runLength, isZero } of runsOf(io, bytes, length, position)) {
    control.check();
    const start = position + offset;
    if (!isZero) writeTarget(io, target, bytes, offset, runLength, start);
    else if (!targetZeroed) zeroTarget(io, target, { start, length: runLength }, allocation, meter);
  }
};
