/** Reads an image into storage of this machine: several connections fetch blocks of data, threads write them. */
import type { Range } from '../../../shared/units.js';
import { BufferPool, view } from '../../../workers/buffers.js';
import { ControlBlock } from '../../../workers/control.js';
import type { Workers } from '../../../workers/pool.js';
import type { TargetHandle } from '../../../workers/storage/handle.js';
import { runSteps } from '../../transfer/steps.js';
import type { Clients } from './clients.js';
import type { RemoteExtent } from './image-client.js';
import { BLOCK } from './upload-steps.js';

export interface DownloadRequest {
  readonly workers: Workers;
  readonly target: TargetHandle;
  /** Of the whole image. */
  readonly extents: readonly RemoteExtent[];
  readonly clients: Clients;
  readonly signal: AbortSignal;
  readonly onDone: (length: number) => void;
}

/**
 * Resolves when the target has all of the image and it is durable.
 * @throws FerryError what the server refuses with, NODE_UNAVAILABLE, STORAGE_*
 */
export async function receiveImage({ workers, target, extents, clients, signal, onDone }: DownloadRequest) {
  const control = new ControlBlock();
  const stop = () => control.stop();
  signal.addEventListener('abort', stop);
  const lanes = clients.count + 1;
  const buffers = new BufferPool(BLOCK, lanes);
  const common = { target, targetZeroed: target.readsZero, allocation: 'sparse', control: control.memory } as const;
  try {
    await runSteps(downloadSteps(extents), lanes, control, async ({ range, zero }) => {
      control.check();
      if (zero) {
        if (!target.readsZero) await workers.run('zeroImage', { ...common, range });
      } else {
        const buffer = await buffers.acquire();
        try {
          const { start: position, length } = range;
          await clients.use((client) => client.get(position, view(buffer).subarray(0, length)));
          await workers.run('writeBlock', { ...common, buffer, length, position });
        } finally {
          buffers.release(buffer);
        }
      }
      onDone(range.length);
    });
    signal.throwIfAborted();
    await workers.run('flush', { target });
  } catch (thrown) {
    signal.throwIfAborted();
    throw thrown;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Data is cut at multiples of the block; a zero range is one call, which is quick or split by itself. */
function* downloadSteps(extents: readonly RemoteExtent[]): Generator<{ range: Range; zero: boolean }> {
  for (const { start, length, zero } of extents) {
    const stop = start + length;
    for (let at = start; at < stop; ) {
      const next = zero ? stop : Math.min(stop, at - (at % BLOCK) + BLOCK);
      yield { range: { start: at, length: next - at }, zero };
      at = next;
    }
  }
}
