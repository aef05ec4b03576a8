/**
 * Every task a thread can run: its input and its output, all plain data. One file a task beside this one;
 * `tasks/index.ts` maps names to functions, `workers/pool.ts` is the typed client.
 * Ranges are packed in pairs (start, length, start, length, …): a hundred thousand of them cross in one copy.
 */

import type { StorageLimits } from '../../shared/nbd-roots.js';
import type { NbdAddress } from '../../shared/nbd-uri.js';
import type { Fingerprint } from '../../shared/queue/checkpoint.js';
import type { Range } from '../../shared/units.js';
import type { Allocation, ZeroMethod } from '../../shared/zero-methods.js';
import type { SharedBuffer } from '../buffers.js';
import type { Handle, Identity, SourceHandle, TargetHandle } from '../storage/handle.js';
import type { OpenSourceRequest, OpenTargetRequest } from '../storage/open.js';
import type { OpenImageRequest } from '../storage/open-image.js';
import type { ZeroCost } from '../storage/zero-cost.js';
import type { ProbeReport, ProbeRequest } from './probe-report.js';

export interface Tasks {
  openSource: { input: OpenSourceRequest | OpenNbdSource; output: SourceHandle };
  openTarget: {
    input: (OpenTargetRequest | OpenNbdTarget) & { readonly control: SharedArrayBuffer };
    output: TargetHandle;
  };
  /** Looks at a target without changing it, claiming it only for that moment: for a plan that writes nothing. */
  inspect: { input: InspectRequest; output: TargetInspection };
  close: { input: { handles: Handle[] }; output: undefined };
  /** Throws SOURCE_CHANGED when the source is not what it was when it was opened. */
  checkSource: { input: { source: SourceHandle }; output: undefined };
  /** Data ranges in order; what lies between them reads as zeroes. */
  extents: { input: { handle: Handle; control: SharedArrayBuffer }; output: Float64Array };
  /** Zeroes up to 16 MiB at the start of `range` and times it. */
  zeroCost: { input: ZeroCostRequest; output: ZeroCost | null };
  /** Whether the target can share the source's blocks; shares the first one to find out. */
  canClone: { input: CloneRequest; output: boolean };
  zero: { input: ZeroStep; output: undefined };
  copy: { input: CopyStep; output: undefined };
  /** What a checkpoint says of a source or target. */
  fingerprint: { input: { handle: Handle }; output: Fingerprint };
  flush: { input: { target: TargetHandle }; output: undefined };
  checksum: { input: ChecksumStep; output: Uint8Array };
  openImage: { input: OpenImageRequest; output: Handle };
  /** Bytes it has now: a file may have grown since it was opened. */
  imageSize: { input: { handle: Handle }; output: number };
  /** As `extents`, of the first `size` bytes. */
  imageExtents: { input: ImageExtents; output: Float64Array };
  /** length, flags, length, flags, … as an NBD server says them; null: it is none, or does not have the context. */
  imageStatus: { input: ImageExtents & { readonly context: 'allocation' | 'dirty' }; output: Float64Array | null };
  /** @returns bytes read; fewer than asked for only where the image ends */
  readImage: { input: ReadImage; output: number };
  writeImage: { input: WriteImage; output: undefined };
  zeroImage: { input: ZeroImage; output: undefined };
  /** Throws SOURCE_CHANGED when the block is not all there. */
  readBlock: { input: ReadBlock; output: BlockContent };
  /** What of it is zeroes is zeroed, or left alone where the target reads as zeroes already. */
  writeBlock: { input: WriteBlock; output: undefined };
  /** Digests of the blocks of a range, one after another. */
  hashBlocks: { input: HashBlocks; output: Uint8Array };
  /** What a piece of storage can do, for people (`ferry probe`). */
  probe: { input: ProbeRequest; output: ProbeReport };
}

/** Between buffer[offset, offset + length) and the image from `position`. */
interface ImagePart {
  readonly buffer: SharedBuffer;
  readonly offset: number;
  readonly length: number;
  readonly position: number;
}

export interface ImageExtents {
  readonly handle: Handle;
  readonly size: number;
  readonly control: SharedArrayBuffer;
}

export type ReadImage = ImagePart & { readonly handle: Handle };

export type WriteImage = ImagePart & { readonly target: TargetHandle; readonly control: SharedArrayBuffer };

export interface ZeroImage {
  readonly target: TargetHandle;
  readonly range: Range;
  readonly allocation: Allocation;
  readonly control: SharedArrayBuffer;
}

/** Fills buffer[0, length) from the image at `position`. */
export interface ReadBlock {
  readonly handle: Handle;
  readonly buffer: SharedBuffer;
  readonly length: number;
  readonly position: number;
  /** One of `hashAlgorithms`; null: no digest is wanted. */
  readonly algorithm: string | null;
}

export interface BlockContent {
  /** Packed ranges of the buffer that are not zeroes. */
  readonly data: Float64Array;
  /** Of the whole block. */
  readonly digest: Uint8Array | null;
}

/** Writes buffer[0, length) to the target at `position`. */
export interface WriteBlock {
  readonly target: TargetHandle;
  readonly buffer: SharedBuffer;
  readonly length: number;
  readonly position: number;
  readonly targetZeroed: boolean;
  readonly allocation: Allocation;
  readonly control: SharedArrayBuffer;
}

export interface HashBlocks {
  readonly handle: Handle;
  /** A multiple of `blockSize`. */
  readonly start: number;
  readonly length: number;
  readonly blockSize: number;
  /** One of `hashAlgorithms`. */
  readonly algorithm: string;
  /** Packed ranges that may hold data; all else reads as zeroes. */
  readonly data: Float64Array;
  readonly buffer: SharedBuffer;
  readonly control: SharedArrayBuffer;
}

export interface OpenNbdSource extends StorageLimits {
  readonly nbd: NbdAddress;
}

export interface OpenNbdTarget extends OpenNbdSource {
  /** Bytes that must fit. */
  readonly neededBytes: number;
  /** What must not be the target. */
  readonly source: Identity | null;
  /** The client vouches that it reads as zeroes. */
  readonly declaredZero: boolean;
}

export type TaskName = keyof Tasks;
export type TaskInput<N extends TaskName> = Tasks[N]['input'];
export type TaskOutput<N extends TaskName> = Tasks[N]['output'];
export type TaskFunction<N extends TaskName> = (input: TaskInput<N>) => TaskOutput<N> | Promise<TaskOutput<N>>;

export interface ZeroCostRequest {
  readonly target: TargetHandle;
  readonly range: Range;
  readonly allocation: Allocation;
  readonly control: SharedArrayBuffer;
}

export interface CloneRequest {
  readonly source: SourceHandle;
  readonly target: TargetHandle;
  readonly imageBytes: number;
  readonly control: SharedArrayBuffer;
}

/** Zeroes ranges of the target, one after another. */
export interface ZeroStep {
  readonly target: TargetHandle;
  readonly ranges: Float64Array;
  readonly allocation: Allocation;
  /** Whether what it zeroes counts as done: not when data still goes over it. */
  readonly counts: boolean;
  readonly control: SharedArrayBuffer;
}

/** Copies ranges to the same place in the target. */
export interface CopyStep {
  readonly source: SourceHandle;
  readonly target: TargetHandle;
  readonly ranges: Float64Array;
  readonly detectZeroes: boolean;
  /** Whole blocks are shared with the source where the file system still agrees to. */
  readonly clone: boolean;
  /** Everything in `ranges` reads as zeroes on the target already. */
  readonly targetZeroed: boolean;
  readonly allocation: Allocation;
  readonly buffer: SharedBuffer;
  readonly control: SharedArrayBuffer;
}

/**
 * Reads a part of the target back, compares it with the source, and hashes the source's blocks.
 * Gives the digests of the blocks of [start, start + length), one after another; where the part goes on
 * behind the image, the target must be zeroes there, and there is no digest.
 */
export interface ChecksumStep {
  readonly source: SourceHandle;
  readonly target: TargetHandle;
  /** A multiple of `blockSize`. */
  readonly start: number;
  readonly length: number;
  /** End of the image; behind it the target must read as zeroes. */
  readonly imageSize: number;
  readonly blockSize: number;
  /** Packed ranges that may hold data, of the source and of the target; all else is known to be zero. */
  readonly sourceData: Float64Array;
  readonly targetData: Float64Array;
  /** One half for the source, one for the target; blocks are compared and hashed piece by piece. */
  readonly buffer: SharedBuffer;
  readonly control: SharedArrayBuffer;
}

export type InspectRequest = (OpenTargetRequest | OpenNbdTarget) & { readonly allocation: Allocation };

export interface TargetInspection {
  readonly size: number;
  readonly sectorSize: number;
  readonly exists: boolean;
  readonly directRefusal: string | null;
  /** The ladder from the top; what the storage refuses shows only when it is tried. */
  readonly zeroMethods: readonly ZeroMethod[];
  /** Whether zeroing is thought to cost next to nothing; null: nothing is known before it is tried. */
  readonly cheapZero: boolean | null;
}
