/**
 * The typed list of every system call we make, and the loader of the addon that makes them.
 * Every call blocks its thread, so only worker threads may use it, never the event loop; `alignmentOffset`,
 * `copyBytes` and the calls on sockets return at once.
 * Offsets and lengths are bytes, 0 to 2^53 - 1. Source of the facts: the man pages named below.
 *
 * A wrong argument is a TypeError or RangeError that names it. A failed call is a `NativeError`.
 * A call that a signal interrupted (EINTR) is repeated inside the addon.
 */
import { createRequire } from 'node:module';
import { FerryError } from '../../shared/errors.js';

/** What a failed system call throws: `code` such as `ENOSPC`, the positive errno, and the call's name. */
export interface NativeError extends Error {
  readonly code: string;
  readonly errno: number;
  /** Such as `fallocate` or `ioctl(BLKZEROOUT)`. */
  readonly syscall: string;
  /** What libnbd said, where it said more than that. */
  readonly detail?: string;
}

export interface NativeIo {
  /**
   * open(2), with O_CLOEXEC added. `mode`: default 0o666, less the umask.
   * @returns the file descriptor; it is valid on every thread of the process
   */
  open(path: string, flags: number, mode?: number): number;
  /** close(2). A signal's EINTR counts as success: Linux has closed the descriptor all the same. */
  close(fd: number): void;
  /** fallocate(2). `mode`: FALLOC_* constants or 0. */
  fallocate(fd: number, mode: number, start: number, length: number): void;
  /** ioctl BLKZEROOUT: zeroes on a block device, written by the kernel where the device cannot help. */
  zeroOut(fd: number, start: number, length: number): void;
  /** ioctl BLKDISCARD. Guarantees nothing about what is read afterwards. */
  discard(fd: number, start: number, length: number): void;
  /** ioctl BLKGETSIZE64: size of a block device. */
  deviceSize(fd: number): number;
  /** ioctl BLKSSZGET: the smallest unit a block device can address. */
  logicalSectorSize(fd: number): number;
  /** ioctl BLKPBSZGET: the smallest unit a block device writes without reading first. */
  physicalSectorSize(fd: number): number;
  /** pread(2) into buffer[offset, offset + length). @returns bytes read, possibly fewer; 0 at the end */
  pread(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number;
  /** pwrite(2) from buffer[offset, offset + length). @returns bytes written, possibly fewer */
  pwrite(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number;
  /**
   * Writes many pieces with one io_submit(2) and waits for all: bufferOffset, length, position, … of each. At once only with
   * O_DIRECT. Safe to repeat; after an error any of them may be written.
   * @returns how many of the first ones are written; 0: write them otherwise, which says what is wrong where anything is
   */
  pwriteBatch(fd: number, buffer: Uint8Array, pieces: Float64Array): number;
  fdatasync(fd: number): void;
  ftruncate(fd: number, size: number): void;
  /**
   * lseek(2) SEEK_DATA and SEEK_HOLE: ranges of data in [start, stop), packed in pairs of start and length, at most so
   * many of them; ask again from the end of the last one. Throws ENXIO when the file changed meanwhile.
   */
  dataRanges(fd: number, start: number, stop: number, most: number): Float64Array;
  /**
   * lseek(2) SEEK_END: the size of a file or a block device. Like the other seeks it moves the descriptor's
   * own position, which no call here uses: every read, write and copy carries its position.
   */
  seekEnd(fd: number): number;
  /** copy_file_range(2). @returns bytes copied, possibly fewer; 0 at the end of the source */
  copyFileRange(fdIn: number, startIn: number, fdOut: number, startOut: number, length: number): number;
  /** ioctl FICLONE: `fdOut` becomes a reflink copy of all of `fdIn`. */
  clone(fdOut: number, fdIn: number): void;
  /** ioctl FICLONERANGE. */
  cloneRange(fdOut: number, startOut: number, fdIn: number, startIn: number, length: number): void;
  /** posix_fadvise(2). `advice`: POSIX_FADV_* constants. */
  fadvise(fd: number, start: number, length: number, advice: number): void;
  /** fcntl F_OFD_SETLK over the whole file, not waiting. Throws EAGAIN (or EACCES) when somebody else holds it. */
  lockFile(fd: number, exclusive: boolean): void;
  unlockFile(fd: number): void;
  /**
   * Connects to an NBD server, tcp or unix socket only, without TLS.
   * @param contexts   meta contexts to ask for; one that ends in `:` stands for all of its kind
   * @param timeoutMs  for connecting, and later for each request; a connection that was too slow is gone (ENOTCONN)
   * Errors carry what libnbd said in `detail`.
   */
  nbdConnect(uri: string, contexts: readonly string[], timeoutMs: number): NbdFacts;
  nbdClose(connection: number): void;
  /** NBD_CMD_READ of exactly `length` bytes. */
  nbdRead(connection: number, buffer: Uint8Array, offset: number, length: number, position: number): void;
  /** NBD_CMD_WRITE of exactly `length` bytes. */
  nbdWrite(connection: number, buffer: Uint8Array, offset: number, length: number, position: number): void;
  /** NBD_CMD_WRITE_ZEROES. `fast`: refused (ENOTSUP) where it would be no faster than writing. */
  nbdZero(connection: number, start: number, length: number, noHole: boolean, fast: boolean): void;
  nbdFlush(connection: number): void;
  /** NBD_CMD_BLOCK_STATUS. @returns length, flags, length, flags, … from `start`; may end before or behind the range */
  nbdBlockStatus(connection: number, start: number, length: number, context: string): Float64Array;
  /** True when buffer[offset, offset + length) is all zeroes. */
  isZero(buffer: Uint8Array, offset: number, length: number): boolean;
  /** Copies from[fromOffset, fromOffset + length) to `to` from `toOffset`; nobody else may use those bytes meanwhile. */
  copyBytes(to: Uint8Array, toOffset: number, from: Uint8Array, fromOffset: number, length: number): void;
  /** Frees the memory now; whatever views it has are empty from then on. */
  drop(memory: ArrayBuffer): void;
  /** madvise(MADV_HUGEPAGE), a wish: nothing is said of what became of it. The buffer begins at a page. */
  adviseHugePages(buffer: Uint8Array): void;
  /** How many bytes to add to the address of buffer[0] to reach a multiple of `alignment` (a power of two). */
  alignmentOffset(buffer: Uint8Array, alignment: number): number;
  /**
   * socket(2) and bind(2) to a name in Linux's abstract name space, of 1 to 107 bytes, its leading NUL not counted.
   * @returns the file descriptor of a stream socket, not blocking, that does not listen yet
   */
  bindAbstract(name: Uint8Array): number;
  /** As `bindAbstract`, but connect(2). */
  connectAbstract(name: Uint8Array): number;
  readonly constants: NativeConstants;
}

/** An NBD connection, and what the server says of its export. */
export interface NbdFacts {
  /** Valid on every thread of the process, until `nbdClose`. */
  readonly id: number;
  readonly size: number;
  readonly readOnly: boolean;
  readonly canMultiConn: boolean;
  readonly canZero: boolean;
  readonly canFastZero: boolean;
  readonly canFlush: boolean;
  /** 0: the server does not say. */
  readonly minimumBlock: number;
  readonly maximumBlock: number;
  /** Meta contexts that were granted. */
  readonly contexts: readonly string[];
}

export interface NativeConstants {
  readonly O_RDONLY: number;
  readonly O_WRONLY: number;
  readonly O_RDWR: number;
  readonly O_CREAT: number;
  readonly O_EXCL: number;
  readonly O_NOFOLLOW: number;
  readonly O_DIRECTORY: number;
  readonly O_NONBLOCK: number;
  readonly O_DIRECT: number;
  readonly O_CLOEXEC: number;
  readonly FALLOC_FL_KEEP_SIZE: number;
  readonly FALLOC_FL_PUNCH_HOLE: number;
  readonly FALLOC_FL_ZERO_RANGE: number;
  readonly POSIX_FADV_NORMAL: number;
  readonly POSIX_FADV_SEQUENTIAL: number;
  readonly POSIX_FADV_WILLNEED: number;
  readonly POSIX_FADV_DONTNEED: number;
}

let loaded: NativeIo | undefined;

/**
 * The addon; each thread loads its own copy, later calls on that thread return it.
 * @throws FerryError NATIVE_MODULE  it is not built or does not fit this machine; the message says what to do
 */
export function loadNative(): NativeIo {
  if (loaded !== undefined) return loaded;
  try {
    loaded = createRequire(import.meta.url)('./ferry_native.node') as NativeIo;
    return loaded;
  } catch (cause) {
    throw new FerryError(
      'NATIVE_MODULE',
      `The native module could not be loaded (${(cause as Error).message}). Build it with "npm run setup"; ` +
        'it needs Linux, Node.js 20 or newer with its headers, and the Debian packages g++, make and python3.',
      {},
      { cause },
    );
  }
}
