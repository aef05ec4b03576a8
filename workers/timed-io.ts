/**
 * The native calls as tasks make them: each one that can block is timed, whether it fails or not. Below the guard of
 * `guarded-io.ts`, so that a call which is refused there is not counted. What this costs: bench/call-times.ts.
 */
import { workerData } from 'node:worker_threads';
import { type Call, CallTimes } from './call-times.js';
import { loadNative, type NativeIo } from './native/index.js';

/** What `pool.ts` gives each of its threads. */
export interface ThreadData {
  /** Of `CallTimes`. */
  readonly callTimes: SharedArrayBuffer;
}

type NativeCall = {
  [Name in keyof NativeIo]: NativeIo[Name] extends (...args: never[]) => unknown ? Name : never;
}[keyof NativeIo];
/** They only compute, or have nothing to do with storage. */
type Untimed =
  | 'isZero'
  | 'copyBytes'
  | 'drop'
  | 'adviseHugePages'
  | 'alignmentOffset'
  | 'bindAbstract'
  | 'connectAbstract';

/** A call that is added to the addon does not compile before it is named here. */
const KINDS: Readonly<Record<Exclude<NativeCall, Untimed | 'fallocate'>, Call>> = {
  open: 'open',
  close: 'close',
  pread: 'read',
  pwrite: 'write',
  pwriteBatch: 'write',
  fdatasync: 'flush',
  zeroOut: 'blkzeroout',
  discard: 'discard',
  ftruncate: 'resize',
  dataRanges: 'seek',
  seekEnd: 'seek',
  copyFileRange: 'clone',
  clone: 'clone',
  cloneRange: 'clone',
  lockFile: 'lock',
  unlockFile: 'lock',
  deviceSize: 'ask',
  logicalSectorSize: 'ask',
  physicalSectorSize: 'ask',
  fadvise: 'advise',
  nbdConnect: 'open',
  nbdClose: 'close',
  nbdRead: 'read',
  nbdWrite: 'write',
  nbdZero: 'nbd-zero',
  nbdFlush: 'flush',
  nbdBlockStatus: 'seek',
};

/** @returns the same calls; how long each takes is added to `times` */
export function timedIo(times: CallTimes, io: NativeIo = loadNative()): NativeIo {
  const timed = Object.create(io) as Record<string, unknown>;
  for (const [name, kind] of Object.entries(KINDS)) {
    const call = io[name as NativeCall] as (...args: unknown[]) => unknown;
    timed[name] = (...args: unknown[]) => {
      const before = performance.now();
      try {
        return call(...args);
      } finally {
        times.add(kind, performance.now() - before);
      }
    };
  }
  timed.fallocate = (fd: number, mode: number, start: number, length: number) => {
    const before = performance.now();
    try {
      io.fallocate(fd, mode, start, length);
    } finally {
      times.add(fallocateKind(io, mode), performance.now() - before);
    }
  };
  return timed as unknown as NativeIo;
}

function fallocateKind({ constants }: NativeIo, mode: number): Call {
  if ((mode & constants.FALLOC_FL_ZERO_RANGE) !== 0) return 'fallocate-zero-range';
  return (mode & constants.FALLOC_FL_PUNCH_HOLE) !== 0 ? 'fallocate-punch-hole' : 'fallocate-allocate';
}

let io: NativeIo | undefined;

/** The calls of this thread: timed on a thread of the pool, as they are elsewhere (a test that runs a task by itself). */
export function threadIo(): NativeIo {
  const memory = (workerData as ThreadData | null)?.callTimes;
  io ??= memory === undefined ? loadNative() : timedIo(new CallTimes(memory));
  return io;
}
