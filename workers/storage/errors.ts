/** Turns what the kernel said into one of our codes; errno and syscall stay in the details. */
import { type ErrorCode, FerryError } from '../../shared/errors.js';
import type { NativeError } from '../native/index.js';

type Meaning = readonly [ErrorCode, string];

const CODES: Readonly<Record<string, Meaning>> = {
  ENOSPC: ['STORAGE_FULL', 'the storage has no space left; free some or choose another target'],
  EDQUOT: ['STORAGE_FULL', 'the disk quota is used up'],
  EFBIG: ['STORAGE_FULL', 'the file system cannot hold a file of this size'],
  EACCES: ['STORAGE_DENIED', 'permission denied; check the owner and mode for the user that runs the node'],
  EPERM: ['STORAGE_DENIED', 'the operating system does not permit it'],
  EROFS: ['STORAGE_DENIED', 'the storage is read-only'],
  EBUSY: ['TARGET_BUSY', 'it is in use (mounted, or claimed by another program or job)'],
  ETXTBSY: ['TARGET_BUSY', 'it is in use'],
  EAGAIN: ['TARGET_BUSY', 'another program or job holds a lock on it'],
  ENOENT: ['PATH_NOT_FOUND', 'it does not exist'],
  ENOTDIR: ['PATH_NOT_FOUND', 'a part of its path is no directory'],
  ELOOP: ['PATH_FORBIDDEN', 'it is a symlink that appeared after it was checked'],
  ENODEV: ['STORAGE_GONE', 'the device is gone'],
  ENXIO: ['STORAGE_GONE', 'the device is gone or has no medium'],
  ESTALE: ['STORAGE_GONE', 'the file is gone from its server'],
  EIO: ['STORAGE_IO', 'the storage reported an I/O error; look at the kernel log of the node'],
  ENOMEM: ['STORAGE_IO', 'the kernel had no memory for it'],
  EMFILE: ['STORAGE_IO', 'the node has too many files open; raise its limit (ulimit -n)'],
  ENFILE: ['STORAGE_IO', 'the machine has too many files open'],
  ETIMEDOUT: ['STORAGE_IO', 'the storage did not answer in time'],
  ENOTCONN: ['STORAGE_GONE', 'the connection to its server is gone'],
  ECONNREFUSED: ['STORAGE_GONE', 'its server refuses connections; is it running?'],
  ECONNRESET: ['STORAGE_GONE', 'its server closed the connection'],
  EPIPE: ['STORAGE_GONE', 'its server closed the connection'],
  EHOSTUNREACH: ['STORAGE_GONE', 'its server cannot be reached'],
  ENETUNREACH: ['STORAGE_GONE', 'its server cannot be reached'],
  ESHUTDOWN: ['STORAGE_GONE', 'its server is shutting down'],
  EPROTO: ['STORAGE_GONE', 'its server hung up, or does not speak NBD'],
  ENAMETOOLONG: ['PATH_NOT_SUPPORTED', 'its path is too long'],
  ENOLINK: ['STORAGE_IO', 'the path to the storage is down'],
  EREMOTEIO: ['STORAGE_IO', 'the storage reported a remote I/O error'],
  ENODATA: ['STORAGE_IO', 'the storage cannot read this place of its medium'],
  ETIME: ['STORAGE_IO', 'the storage did not answer in time'],
  EBADE: ['STORAGE_DENIED', 'another host holds a reservation on it (SCSI persistent reservation)'],
  ENOLCK: ['STORAGE_DENIED', 'its file system offers no locks; mount it with locking'],
  EUCLEAN: ['STORAGE_IO', 'the file system found damage in itself; run its checker'],
  EILSEQ: ['STORAGE_IO', 'the storage reported corrupt data'],
};

const UNEXPECTED: Meaning = ['INTERNAL', 'the call was refused for an unexpected reason'];
/** What an error means that is not in the table, by the call. */
const UNKNOWN: Readonly<Record<string, Meaning>> = {
  nbd_opt_go: ['STORAGE_DENIED', 'its server does not let us have the export'],
};

/** How kernels and file systems say that they do not know a call, or not here; EINVAL where the arguments are right. */
export const REFUSALS: readonly string[] = ['EOPNOTSUPP', 'ENOTSUP', 'ENOTTY', 'ENOSYS', 'EINVAL'];

export function isNativeError(thrown: unknown): thrown is NativeError {
  return thrown instanceof Error && 'syscall' in thrown && 'errno' in thrown && 'code' in thrown;
}

/**
 * @param thrown  anything; what no system call threw is returned as it is
 * @param path    what the call was about, for the message and the details
 * @param doing   a phrase such as `write`, for the message
 */
export function storageError(thrown: unknown, path: string, doing: string): unknown {
  if (!isNativeError(thrown)) return thrown;
  const [code, advice] = CODES[thrown.code] ?? UNKNOWN[thrown.syscall] ?? UNEXPECTED;
  const details = { errno: Math.abs(thrown.errno), syscall: thrown.syscall, path };
  const said = thrown.detail === undefined ? thrown.code : `${thrown.code}; ${thrown.detail}`;
  return new FerryError(code, `Cannot ${doing} ${path}: ${advice} (${said})`, details, { cause: thrown });
}

/** Runs `call`; what it throws leaves as one of our errors. */
export function guard<T>(path: string, doing: string, call: () => T): T {
  try {
    return call();
  } catch (thrown) {
    throw storageError(thrown, path, doing);
  }
}
