import { ControlBlock } from '../control.js';
import { loadNative } from '../native/index.js';
import { dataExtents } from '../storage/extents.js';
import type { TaskFunction } from './contracts.js';

export const extents: TaskFunction<'extents'> = ({ handle, control }) => {
  const block = new ControlBlock(control);
  // Not timed: two seeks an extent, each quicker than its timing, and there may be a hundred thousand.
  return dataExtents(loadNative(), handle, handle.size, () => block.check());
};
