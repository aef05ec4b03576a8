import { unpack } from '../../shared/ranges.js';
import type { ZeroMethod } from '../../shared/zero-methods.js';
import { ControlBlock } from '../control.js';
import { guardedIo } from '../guarded-io.js';
import { zeroTarget } from '../storage/zero.js';
import { measureZeroCost } from '../storage/zero-cost.js';
import type { TaskFunction } from './contracts.js';

export const zero: TaskFunction<'zero'> = ({ target, ranges, allocation, counts, control }) => {
  const block = new ControlBlock(control);
  const io = guardedIo(block);
  const meter = {
    check: () => block.check(),
    addZeroed(method: ZeroMethod, length: number, durationMs: number) {
      block.addZeroed(method, length, durationMs);
      block.add('zeroed', length);
      if (counts) block.add('done', length);
    },
  };
  for (const range of unpack(ranges)) zeroTarget(io, target, range, allocation, meter);
};

export const zeroCost: TaskFunction<'zeroCost'> = ({ target, range, allocation, control }) =>
  measureZeroCost(guardedIo(new ControlBlock(control)), target, range, allocation);
