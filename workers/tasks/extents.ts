import { ControlBlock } from '../control.js';
import { dataExtents } from '../storage/extents.js';
import { threadIo } from '../timed-io.js';
import type { TaskFunction } from './contracts.js';

export const extents: TaskFunction<'extents'> = ({ handle, control }) => {
  const block = new ControlBlock(control);
  return dataExtents(threadIo(), handle, handle.size, () => block.check());
};
