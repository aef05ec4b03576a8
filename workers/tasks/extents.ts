import { ControlBlock } from '../control.js';
import { loadNative } from '../native/index.js';
import { dataExtents } from '../storage/extents.js';
import type { TaskFunction } from './contracts.js';

export const extents: TaskFunction<'extents'> = ({ handle, control }) => {
  const block = new ControlBlock(control);
  return dataExtents(loadNative(), handle, handle.size, () => block.check());
};
