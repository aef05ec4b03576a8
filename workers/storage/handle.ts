/**
 * What an open source or target is: plain data that crosses threads, and the memory its threads share.
 * Descriptors are valid on every thread of the process; whoever opened is told when to close (`close.ts`).
 */
import { MiB } from '../../shared/units.js';

/** Storage that this machine's kernel gives a descriptor for. */
export type FdKind = 'file' | 'block';
export type StorageKind = FdKind | 'nbd';

/** Tells one piece of storage from another, and one state of a file from a later one. */
export interface Identity {
  /** `block:MAJOR:MINOR` as a number, `file:DEVICE:INODE`, or `nbd:` and the URI. */
  readonly id: string;
  readonly size: number;
  /** Nanoseconds as text; null for a block device, whose time means nothing. */
  readonly modified: string | null;
  /** As `modified`, but nobody can set it back; renaming, removing and chmod move it as well. */
  readonly changed: string | null;
}

interface Source {
  /** Of NBD: the URI. */
  readonly path: string;
  readonly size: number;
  readonly identity: Identity;
}

export interface FdSource extends Source {
  readonly kind: FdKind;
  readonly fd: number;
}

/** What is spoken with an NBD server, the same for sources and targets. */
export interface NbdAccess {
  readonly kind: 'nbd';
  /** Of the addon; more than one where the server allows. */
  readonly connections: readonly number[];
  /** Who uses which of them: words that threads wait on. */
  readonly turns: SharedArrayBuffer;
  /** Requests start and end at multiples of this. */
  readonly minimumBlock: number;
  /** Bytes of one read or write at most. */
  readonly longestTransfer: number;
  readonly contexts: readonly string[];
}

export interface NbdSource extends Source, NbdAccess {}

export type SourceHandle = FdSource | NbdSource;

interface Target {
  readonly path: string;
  /** What the file ends up with, or the device has. */
  readonly size: number;
  /** The smallest unit the device can address; for a file the unit of direct I/O. */
  readonly sectorSize: number;
  /** A device that says of itself that it cannot zero: somebody writes zeroes for it. */
  readonly zeroWrites: boolean;
  /** Why it is not written past the page cache; null: it is, or there is none of ours. */
  readonly directRefusal: string | null;
  /** We made the file just now. */
  readonly created: boolean;
  /** All of it read as zeroes when it was opened: we made it, or the client vouches for it. */
  readonly readsZero: boolean;
  readonly identity: Identity;
  readonly shared: SharedArrayBuffer;
}

export interface FdTarget extends Target {
  readonly kind: FdKind;
  /** Buffered; holds the lock (OFD lock on a file, O_EXCL claim on a block device). */
  readonly fd: number;
  /** O_DIRECT; null where the storage refused it. */
  readonly directFd: number | null;
}

export interface NbdTarget extends Target, NbdAccess {
  readonly canZero: boolean;
  /** Whether it refuses, when it is asked to, what it could only do by writing. */
  readonly canFastZero: boolean;
  readonly canFlush: boolean;
}

export type TargetHandle = FdTarget | NbdTarget;

export type Handle = SourceHandle | TargetHandle;

export function isTarget(handle: Handle): handle is TargetHandle {
  return 'shared' in handle;
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
