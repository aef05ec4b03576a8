/**
 * What an open source or target is: plain data that crosses threads, and the memory its threads share.
 * Descriptors are valid on every thread of the process; whoever opened is told when to close (`close.ts`).
 */
import { MiB } from '../../shared/units.js';

export type StorageKind = 'file' | 'block';

/** Tells one piece of storage from another, and one state of a file from a later one. */
export interface Identity {
  /** `block:MAJOR:MINOR` as a number, or `file:DEVICE:INODE`. */
  readonly id: string;
  readonly size: number;
  /** Nanoseconds as text; null for a block device, whose time means nothing. */
  readonly modified: string | null;
  /** As `modified`, but nobody can set it back; renaming, removing and chmod move it as well. */
  readonly changed: string | null;
}

export interface SourceHandle {
  readonly kind: StorageKind;
  readonly path: string;
  readonly fd: number;
  readonly size: number;
  readonly identity: Identity;
}

export interface TargetHandle {
  readonly kind: StorageKind;
  readonly path: string;
  /** Buffered; holds the lock (OFD lock on a file, O_EXCL claim on a block device). */
  readonly fd: number;
  /** O_DIRECT; null where the storage refused it. */
  readonly directFd: number | null;
  /** Why there is no `directFd`. */
  readonly directRefusal: string | null;
  /** What the file ends up with, or the device has. */
  readonly size: number;
  /** The smallest unit the device can address; for a file the unit of direct I/O. */
  readonly sectorSize: number;
  /** A device that says of itself that it cannot zero: the kernel writes zeroes for it. */
  readonly zeroWrites: boolean;
  /** We made the file just now. */
  readonly created: boolean;
  /** All of it read as zeroes when it was opened: we made it, or the client vouches for it. */
  readonly readsZero: boolean;
  readonly identity: Identity;
  readonly shared: SharedArrayBuffer;
}

/**
 * Transfers and zero calls in units of this go the fast way. A file uses whole pages, so that the page
 * cache (which holds a file's last, partial page) and direct I/O never touch the same page: the kernel
 * makes no promise when both write one page.
 */
export const FILE_UNIT = 4096;

export function createShared(): SharedArrayBuffer {
  const memory = new SharedArrayBuffer((HEADER + LOCKS) * 4);
  const slots = new Int32Array(memory);
  slots[METHODS] = -1; // every method is thought to work until it is refused
  slots[DIRECT] = 1;
  slots[CALL_MIB] = FIRST_CALL / MiB;
  return memory;
}

/** Slots of the shared memory, in 32-bit words. */
export const METHODS = 0;
export const DIRECT = 1;
export const CALL_MIB = 2;
export const HEADER = 3;
/** Striped: two sectors that meet in one lock wait for each other, which is rare and harmless. */
export const LOCKS = 61;

/** The first zero call; huge calls have timed out iSCSI targets, small ones cost a round trip each. */
export const FIRST_CALL = 128 * MiB;
