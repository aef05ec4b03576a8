/**
 * What a piece of storage can do, found by trying: direct I/O, sector size, each method to zero and how fast.
 * For a directory or a file it works on a file of its own beside it and removes that. A block device is
 * only looked at, unless `overwrite` says that its first bytes may be destroyed; so is an NBD export.
 */
import { randomUUID } from 'node:crypto';
import { statSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { asFerryError, FerryError } from '../../shared/errors.js';
import { formatNbdUri } from '../../shared/nbd-uri.js';
import { alignDown, MiB, type Range } from '../../shared/units.js';
import { ALLOCATIONS, type Allocation, type ZeroMethod } from '../../shared/zero-methods.js';
import type { NativeIo } from '../native/index.js';
import { queueLimits } from '../storage/block-queue.js';
import { closeStorage } from '../storage/close.js';
import { probeDirectIo } from '../storage/direct-io.js';
import { guard, isNativeError } from '../storage/errors.js';
import { flushTarget } from '../storage/flush.js';
import { type FdKind, isTarget, type StorageKind, type TargetHandle } from '../storage/handle.js';
import { ALLOCATION_CONTEXT, openNbdSource, openNbdTarget, zeroesFast } from '../storage/nbd.js';
import { openTarget } from '../storage/open.js';
import { writeTarget } from '../storage/transfer.js';
import { ladderMethods, tryZeroMethod } from '../storage/zero-ladder.js';
import { threadIo } from '../timed-io.js';
import type { TaskFunction } from './contracts.js';
import type { MethodProbe, ProbeReport, ProbeRequest } from './probe-report.js';

const AREA = 64 * MiB;
const RANGE = 16 * MiB;

/** Whoever asks is an operator on this machine: no storage roots bound what is looked at. */
type PathRequest = Extract<ProbeRequest, { path: string }>;

/** @throws FerryError PATH_NOT_FOUND, PATH_NOT_SUPPORTED, TARGET_BUSY, STORAGE_* */
export const probe: TaskFunction<'probe'> = async (request) => {
  const io = threadIo();
  if ('nbd' in request) return probeExport(io, formatNbdUri(request.nbd), request.overwrite);
  const stats = guard(request.path, 'look at', () => statOrNull(request.path));
  if (stats === null) throw new FerryError('PATH_NOT_FOUND', `${request.path} does not exist`, { path: request.path });
  if (stats.isBlockDevice()) return request.overwrite ? await tryDevice(io, request) : lookAtDevice(io, request);
  if (!stats.isFile() && !stats.isDirectory()) {
    throw new FerryError('PATH_NOT_SUPPORTED', `${request.path} is no file, directory or block device`, {
      path: request.path,
    });
  }
  return await tryFileBeside(io, request, stats.isFile() ? stats.size : null);
};

async function tryFileBeside(io: NativeIo, request: PathRequest, size: number | null): Promise<ProbeReport> {
  const directory = size === null ? request.path : dirname(request.path);
  const path = join(directory, `.ferry-probe-${randomUUID()}`);
  const target = await openTarget(io, openRequest('file', path, directory, AREA));
  try {
    return {
      ...tryAll(io, target),
      path: request.path,
      kind: size === null ? 'directory' : 'file',
      size,
      physicalSectorSize: null,
      extents: knowsHoles(io, target.fd),
      offloadsZero: null,
      triedOn: `a file of 64 MiB in ${directory}, now removed`,
    };
  } finally {
    unlinkSync(target.path);
    closeStorage(io, target);
  }
}

async function tryDevice(io: NativeIo, request: PathRequest): Promise<ProbeReport> {
  const target = await openTarget(io, openRequest('block', request.path, request.path, 1));
  try {
    const tried = tryAll(io, target);
    return { ...deviceFacts(io, target.fd, request.path), ...tried, triedOn: 'the first 64 MiB of the device itself' };
  } finally {
    closeStorage(io, target);
  }
}

function lookAtDevice(io: NativeIo, request: PathRequest): ProbeReport {
  const fd = guard(request.path, 'open', () => io.open(request.path, io.constants.O_RDONLY));
  try {
    const facts = deviceFacts(io, fd, request.path);
    const direct = probeDirectIo(io, fd, io.constants.O_RDONLY, facts.sectorSize);
    if (direct.fd !== null) io.close(direct.fd);
    const triedOn = 'nothing: trying would destroy data on the device (--overwrite allows it)';
    const looks = { directIo: direct.fd !== null, directRefusal: direct.refusal, writeBytesPerSecond: null };
    return { ...facts, ...looks, methods: notTried('block'), triedOn };
  } finally {
    io.close(fd);
  }
}

function probeExport(io: NativeIo, uri: string, overwrite: boolean): ProbeReport {
  const handle = overwrite ? openNbdTarget(io, uri, false) : openNbdSource(io, uri);
  try {
    const facts = {
      path: uri,
      kind: 'nbd' as const,
      size: handle.size,
      sectorSize: handle.minimumBlock,
      physicalSectorSize: null,
      extents: handle.contexts.includes(ALLOCATION_CONTEXT),
    };
    const direct = { directIo: false, directRefusal: null };
    if (isTarget(handle)) {
      const tried = { ...tryAll(io, handle), ...direct, triedOn: 'the first 64 MiB of the export itself' };
      return { ...facts, ...tried, offloadsZero: zeroesFast(io, handle, tryRange(handle)) };
    }
    const triedOn = 'nothing: trying would destroy data of the export (--overwrite allows it)';
    return { ...facts, ...direct, offloadsZero: null, writeBytesPerSecond: null, methods: notTried('nbd'), triedOn };
  } finally {
    closeStorage(io, handle);
  }
}

type DeviceFacts = Pick<
  ProbeReport,
  'path' | 'kind' | 'size' | 'sectorSize' | 'physicalSectorSize' | 'extents' | 'offloadsZero'
>;

function deviceFacts(io: NativeIo, fd: number, path: string): DeviceFacts {
  const { writeZeroesMaxBytes } = queueLimits(fd);
  return {
    path,
    kind: 'block',
    size: io.deviceSize(fd),
    sectorSize: io.logicalSectorSize(fd),
    physicalSectorSize: io.physicalSectorSize(fd),
    extents: false,
    offloadsZero: writeZeroesMaxBytes === null ? null : writeZeroesMaxBytes > 0,
  };
}

type Tried = Pick<ProbeReport, 'sectorSize' | 'directIo' | 'directRefusal' | 'writeBytesPerSecond' | 'methods'>;

function tryRange({ size, sectorSize }: TargetHandle): Range {
  return { start: 0, length: alignDown(Math.min(RANGE, size), sectorSize) };
}

function tryAll(io: NativeIo, target: TargetHandle): Tried {
  const range = tryRange(target);
  const { length } = range;
  const data = new Uint8Array(new SharedArrayBuffer(MiB)).fill(0xa5);
  const fill = () => {
    for (let at = 0; at < length; at += MiB) writeTarget(io, target, data, 0, Math.min(MiB, length - at), at);
    flushTarget(io, target);
  };
  const rate = (work: () => void) => {
    const before = performance.now();
    work();
    return (length / (performance.now() - before)) * 1000;
  };
  const writeBytesPerSecond = rate(fill);
  const methods = everyMethod(target.kind).map(({ allocation, method }) => {
    fill();
    // Growing is for what lies behind the end of a file.
    if (method === 'ftruncate-grow' && target.kind === 'file') io.ftruncate(target.fd, 0);
    let supported = false;
    const bytesPerSecond = rate(() => {
      supported = tryZeroMethod(io, target, range, allocation, method);
      flushTarget(io, target);
    });
    return { allocation, method, supported, bytesPerSecond: supported ? bytesPerSecond : null };
  });
  const { sectorSize, directRefusal } = target;
  return { sectorSize, directIo: directRefusal === null, directRefusal, writeBytesPerSecond, methods };
}

function notTried(kind: StorageKind): MethodProbe[] {
  return everyMethod(kind).map((entry) => ({ ...entry, supported: null, bytesPerSecond: null }));
}

function everyMethod(kind: StorageKind): { allocation: Allocation; method: ZeroMethod }[] {
  return ALLOCATIONS.flatMap((allocation) => ladderMethods(kind, allocation).map((method) => ({ allocation, method })));
}

function openRequest(type: FdKind, path: string, root: string, fileSize: number) {
  return { type, path, roots: [root], neededBytes: 1, fileSize, source: null, declaredZero: false };
}

function knowsHoles(io: NativeIo, fd: number): boolean {
  try {
    io.dataRanges(fd, 0, 1, 1);
    return true;
  } catch (thrown) {
    if (isNativeError(thrown)) return false;
    throw asFerryError(thrown);
  }
}

function statOrNull(path: string) {
  return statSync(path, { throwIfNoEntry: false }) ?? null;
}
