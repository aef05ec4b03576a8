/**
 * What the data plane does with an open image: any range, by several clients at once, each call exact to the byte.
 * Blocks the thread for one call; the control block of the ticket stops it before it changes anything.
 */
import { fstatSync } from 'node:fs';
import { end } from '../../shared/units.js';
import { view } from '../buffers.js';
import { ControlBlock } from '../control.js';
import { guardedIo } from '../guarded-io.js';
import { loadNative } from '../native/index.js';
import { dataExtents } from '../storage/extents.js';
import { growTo } from '../storage/grow.js';
import { ALLOCATION_CONTEXT, blockStatus, dirtyContext } from '../storage/nbd.js';
import { openImage as open } from '../storage/open-image.js';
import { readHandle, writeTarget } from '../storage/transfer.js';
import { zeroTarget } from '../storage/zero.js';
import { threadIo } from '../timed-io.js';
import type { TaskFunction } from './contracts.js';

export const openImage: TaskFunction<'openImage'> = (request) => open(threadIo(), request);

export const imageSize: TaskFunction<'imageSize'> = ({ handle }) =>
  handle.kind === 'file' ? fstatSync(handle.fd).size : handle.size;

export const imageExtents: TaskFunction<'imageExtents'> = ({ handle, size, control }) => {
  const block = new ControlBlock(control);
  return dataExtents(loadNative(), handle, size, () => block.check());
};

export const imageStatus: TaskFunction<'imageStatus'> = ({ handle, size, control, context }) => {
  if (handle.kind !== 'nbd') return null;
  const block = new ControlBlock(control);
  const name = context === 'dirty' ? dirtyContext(handle) : ALLOCATION_CONTEXT;
  return name === null ? null : blockStatus(threadIo(), handle, size, name, () => block.check());
};

export const readImage: TaskFunction<'readImage'> = ({ handle, buffer, offset, length, position }) =>
  readHandle(threadIo(), handle, view(buffer), offset, length, position);

export const writeImage: TaskFunction<'writeImage'> = ({ target, buffer, offset, length, position, control }) => {
  const io = guardedIo(new ControlBlock(control));
  growTo(io, target, position + length);
  writeTarget(io, target, view(buffer), offset, length, position);
};

export const zeroImage: TaskFunction<'zeroImage'> = ({ target, range, allocation, control }) => {
  const block = new ControlBlock(control);
  const io = guardedIo(block);
  growTo(io, target, end(range));
  zeroTarget(io, target, range, allocation, {
    check: () => block.check(),
    addZeroed: (method, length, durationMs) => block.addZeroed(method, length, durationMs),
  });
};
