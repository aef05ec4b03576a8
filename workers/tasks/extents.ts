import { ControlBlock } from '../control.js';
import { loadNative } from '../native/index.js';
import { dataExtents } from '../storage/extents.js';
import type { TaskFunction } from './contracts.js';

export const extents: TaskFunction<'extents'> = ({ handle, control }) => {
  const block = new ControlBlock(control);
  // Not timed: a call makes thousands of seeks, and is none that storage is judged by.
  return dataExtents(loadNative(), handle, handle.size, () => block.check());
};
