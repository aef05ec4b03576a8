/** Small aligned buffers that belong to one thread: a block of zeroes, room for one sector, room to copy to. */
import { MiB } from '../../shared/units.js';
import { allocateShared, view } from '../buffers.js';
import type { NativeIo } from '../native/index.js';

const SECTOR_ROOM = 64 * 1024;

let zeroBlock: Uint8Array | undefined;
let sectorRoom: Uint8Array | undefined;
let copyRoom: Uint8Array | undefined;

/** 1 MiB of zeroes; nobody writes to it. */
export function zeroes(io: NativeIo): Uint8Array {
  zeroBlock ??= view(allocateShared(io, MiB));
  return zeroBlock;
}

/** Room for one sector of up to 64 KiB; its content is whatever was there before. */
export function sectorBuffer(io: NativeIo): Uint8Array {
  sectorRoom ??= view(allocateShared(io, SECTOR_ROOM));
  return sectorRoom;
}

/** 1 MiB, for data whose own memory does not fit direct I/O. */
export function copyBuffer(io: NativeIo): Uint8Array {
  copyRoom ??= view(allocateShared(io, MiB));
  return copyRoom;
}
