/** Every task by its name. */
import { readBlock, writeBlock } from './blocks.js';
import { checksum } from './checksum.js';
import type { TaskFunction, TaskName } from './contracts.js';
import { canClone, copy } from './copy.js';
import { extents } from './extents.js';
import { fingerprint } from './fingerprint.js';
import { flush } from './flush.js';
import { hashBlocks } from './hash-blocks.js';
import { imageExtents, imageSize, imageStatus, openImage, readImage, writeImage, zeroImage } from './image.js';
import { inspect } from './inspect.js';
import { checkSource, close, openSource, openTarget } from './open.js';
import { probe } from './probe.js';
import { zero, zeroCost } from './zero.js';

export const TASKS: { readonly [N in TaskName]: TaskFunction<N> } = {
  openSource,
  openTarget,
  inspect,
  close,
  checkSource,
  extents,
  zeroCost,
  canClone,
  fingerprint,
  zero,
  copy,
  flush,
  checksum,
  openImage,
  imageSize,
  imageExtents,
  imageStatus,
  readImage,
  writeImage,
  zeroImage,
  readBlock,
  writeBlock,
  hashBlocks,
  probe,
};
