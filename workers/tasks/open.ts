/** Opens, looks and closes; the rules are in `workers/storage/open.ts`. */
import { readlinkSync } from 'node:fs';
import { FerryError } from '../../shared/errors.js';
import { ControlBlock } from '../control.js';
import { guardedIo } from '../guarded-io.js';
import { closeStorage } from '../storage/close.js';
import { identify, openSource as open, openTarget as openForWriting, sizeOf } from '../storage/open.js';
import { threadIo } from '../timed-io.js';
import type { TaskFunction } from './contracts.js';

export const openSource: TaskFunction<'openSource'> = (request) => open(threadIo(), request);

export const openTarget: TaskFunction<'openTarget'> = ({ control, ...request }) =>
  openForWriting(guardedIo(new ControlBlock(control)), request);

export const close: TaskFunction<'close'> = ({ handles }) => {
  closeStorage(threadIo(), ...handles);
};

export const checkSource: TaskFunction<'checkSource'> = ({ source }) => {
  const now = identify(source.fd, source.kind, source.size);
  const size = sizeOf(threadIo(), source.fd, source.kind, source.path);
  const sameTimes = now.modified === source.identity.modified && now.changed === source.identity.changed;
  // Its name may go while it is read: the bytes are those that were opened.
  const renamed =
    now.modified === source.identity.modified && readlinkSync(`/proc/self/fd/${source.fd}`) !== source.path;
  if ((sameTimes || renamed) && size === source.size) return;
  throw new FerryError('SOURCE_CHANGED', `${source.path} was written to or resized while it was read`, {
    path: source.path,
  });
};
