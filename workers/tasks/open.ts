/** Opens, looks and closes; the rules are in `workers/storage/open.ts` and `nbd.ts`. */
import { readlinkSync } from 'node:fs';
import { FerryError } from '../../shared/errors.js';
import { confineNbd } from '../../shared/nbd-roots.js';
import { ControlBlock } from '../control.js';
import { guardedIo } from '../guarded-io.js';
import { closeStorage } from '../storage/close.js';
import { openNbdSource, openNbdTarget } from '../storage/nbd.js';
import {
  assertFits,
  identify,
  isSource,
  openSource as open,
  openTarget as openForWriting,
  sizeOf,
} from '../storage/open.js';
import { threadIo } from '../timed-io.js';
import type { TaskFunction } from './contracts.js';

export const openSource: TaskFunction<'openSource'> = async (request) => {
  if (!('nbd' in request)) return await open(threadIo(), request);
  const uri = await confineNbd(request.nbd, 'source.uri', request);
  const source = openNbdSource(threadIo(), uri);
  if (source.size > 0) return source;
  closeStorage(threadIo(), source);
  throw new FerryError('SOURCE_EMPTY', `${uri} is empty`, { path: uri });
};

export const openTarget: TaskFunction<'openTarget'> = async ({ control, ...request }) => {
  const io = guardedIo(new ControlBlock(control));
  if (!('nbd' in request)) return await openForWriting(io, request);
  const uri = await confineNbd(request.nbd, 'target.uri', request);
  const target = openNbdTarget(io, uri, request.declaredZero);
  try {
    assertFits(request.neededBytes, target.size, uri);
    if (target.identity.id === request.source?.id) throw isSource(uri);
    return target;
  } catch (thrown) {
    closeStorage(io, target);
    throw thrown;
  }
};

export const close: TaskFunction<'close'> = ({ handles }) => {
  closeStorage(threadIo(), ...handles);
};

export const checkSource: TaskFunction<'checkSource'> = ({ source }) => {
  // Of an NBD export nobody can tell.
  if (source.kind === 'nbd') return;
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
