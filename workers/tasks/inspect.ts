/**
 * Looks at a target without writing to it: what a dry run may know. Finds the same obstacles that opening
 * it for a job would find, busy devices included.
 */
import { confinePath } from '../../shared/storage-roots.js';
import type { NativeIo } from '../native/index.js';
import { queueLimits } from '../storage/block-queue.js';
import { probeDirectIo } from '../storage/direct-io.js';
import { FILE_UNIT } from '../storage/handle.js';
import { assertNotSource, identify, lockTarget, openExisting, settleSize, sizeOf } from '../storage/open.js';
import { ladderMethods } from '../storage/zero-ladder.js';
import { threadIo } from '../timed-io.js';
import type { InspectRequest, TargetInspection, TaskFunction } from './contracts.js';

/** @throws what `openTarget` throws, except that nothing is created or resized */
export const inspect: TaskFunction<'inspect'> = async (request) => {
  const io = threadIo();
  const found = await confinePath(
    { path: request.path, field: 'target.path', allow: [request.type], mayCreate: request.type === 'file' },
    request.roots,
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

async function inspectOpen(
  io: NativeIo,
  fd: number,
  path: string,
  request: InspectRequest,
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
