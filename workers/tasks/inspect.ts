/**
 * Looks at a target without writing to it: what a dry run may know. Finds the same obstacles that opening
 * it for a job would find, busy devices included.
 */
import { confineNbd } from '../../shared/nbd-roots.js';
import { BLOCKING_LOOK, confinePath } from '../../shared/storage-roots.js';
import type { NativeIo } from '../native/index.js';
import { queueLimits } from '../storage/block-queue.js';
import { closeStorage } from '../storage/close.js';
import { probeDirectIo } from '../storage/direct-io.js';
import { FILE_UNIT } from '../storage/handle.js';
import { openNbdTarget } from '../storage/nbd.js';
import {
  assertFits,
  assertNotSource,
  identify,
  isSource,
  lockTarget,
  type OpenTargetRequest,
  openExisting,
  settleSize,
  sizeOf,
} from '../storage/open.js';
import { ladderMethods, zeroMethods as zeroMethodsOf } from '../storage/zero-ladder.js';
import { threadIo } from '../timed-io.js';
import type { InspectRequest, OpenNbdTarget, TargetInspection, TaskFunction } from './contracts.js';

/** @throws what `openTarget` throws, except that nothing is created or resized */
export const inspect: TaskFunction<'inspect'> = async (request) => {
  const io = threadIo();
  if ('nbd' in request) return await inspectNbd(io, request);
  const found = await confinePath(
    { path: request.path, field: 'target.path', allow: [request.type], mayCreate: request.type === 'file' },
    request.roots,
    BLOCKING_LOOK,
  );
  const zeroMethods = ladderMethods(request.type, request.allocation);
  if (found.kind === null) {
    const size = settleSize(request, 0, found.path);
    return { size, sectorSize: FILE_UNIT, exists: false, directRefusal: null, zeroMethods, cheapZero: null };
  }
  const fd = await openExisting(io, found.path, request.type);
  try {
    return { ...(await inspectOpen(io, fd, found.path, request)), exists: true, zeroMethods };
  } finally {
    io.close(fd);
  }
};

async function inspectNbd(io: NativeIo, request: Extract<InspectRequest, OpenNbdTarget>): Promise<TargetInspection> {
  const uri = await confineNbd(request.nbd, 'target.uri', request);
  const target = openNbdTarget(io, uri, request.declaredZero);
  try {
    assertFits(request.neededBytes, target.size, uri);
    if (target.identity.id === request.source?.id) throw isSource(uri);
    const { size, sectorSize, canZero } = target;
    const zeroMethods = zeroMethodsOf(target, request.allocation);
    return { size, sectorSize, exists: true, directRefusal: null, zeroMethods, cheapZero: canZero ? null : false };
  } finally {
    closeStorage(io, target);
  }
}

async function inspectOpen(
  io: NativeIo,
  fd: number,
  path: string,
  request: OpenTargetRequest,
): Promise<Pick<TargetInspection, 'size' | 'sectorSize' | 'directRefusal' | 'cheapZero'>> {
  assertNotSource(identify(fd, request.type, 0), request.source, path);
  await lockTarget(io, fd, path);
  const sizeNow = sizeOf(io, fd, request.type, path);
  const size = settleSize(request, sizeNow, path);
  const sectorSize = request.type === 'block' ? io.logicalSectorSize(fd) : FILE_UNIT;
  const direct = probeDirectIo(io, fd, io.constants.O_RDWR, sectorSize);
  if (direct.fd !== null) io.close(direct.fd);
  const limit = request.type === 'block' ? queueLimits(fd).writeZeroesMaxBytes : null;
  return { size, sectorSize, directRefusal: direct.refusal, cheapZero: limit === null ? null : limit > 0 };
}
