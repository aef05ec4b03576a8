/**
 * Sends an image: threads read blocks and tell data from zeroes, lanes send them over several connections. Reading one
 * block and sending another go on at the same time, also where the server allows a single writer.
 */
import { Coverage } from '../../../shared/coverage.js';
import { overlap, touches, unpack } from '../../../shared/ranges.js';
import { end, type Range } from '../../../shared/units.js';
import { BufferPool, view } from '../../../workers/buffers.js';
import { ControlBlock } from '../../../workers/control.js';
import type { Workers } from '../../../workers/pool.js';
import type { SourceHandle } from '../../../workers/storage/handle.js';
import { runSteps } from '../../transfer/steps.js';
import { ALGORITHM, BlockDigests, type ImageChecksum } from './block-digests.js';
import type { Clients } from './clients.js';
import { BLOCK, type UploadStep, uploadSteps } from './upload-steps.js';

export interface UploadRequest {
  readonly workers: Workers;
  readonly source: SourceHandle;
  /** Packed ranges of the source that may hold data. */
  readonly data: Float64Array;
  readonly clients: Clients;
  /** What the server has durable already, packed. */
  readonly settled: readonly number[];
  /** `send`: zeroes are asked for. `leave`: what is not sent reads as zeroes in the end, the server sees to it. */
  readonly zeroes: 'send' | 'leave';
  readonly wantsChecksum: boolean;
  readonly signal: AbortSignal;
  /** So many more bytes of the image need no more work. */
  readonly onDone: (length: number) => void;
}

/**
 * Resolves when all of the image is durable on the server.
 * @returns the checksum of the source; null when it is not wanted
 * @throws FerryError what the server refuses with, NODE_UNAVAILABLE, SOURCE_CHANGED (it became shorter), STORAGE_*
 */
export async function sendImage(request: UploadRequest): Promise<ImageChecksum | null> {
  const { source, clients, data, signal, onDone, wantsChecksum } = request;
  const { size } = source;
  const missing = new Coverage(request.settled).rest(Float64Array.of(0, size));
  const digests = wantsChecksum ? new BlockDigests(source.size) : null;
  const control = new ControlBlock();
  const stop = () => control.stop();
  signal.addEventListener('abort', stop);
  // One lane more than there are connections reads meanwhile.
  const lanes = clients.count + 1;
  const sender = new Sender(request, missing, new BufferPool(BLOCK, lanes), digests);
  onDone(size - overlap(missing, 0, size));
  try {
    const steps = uploadSteps({ size, data, missing, digests: wantsChecksum });
    await runSteps(steps, lanes, control, async (step) => {
      control.check();
      await sender.run(step);
    });
    signal.throwIfAborted();
    await clients.flush();
  } catch (thrown) {
    signal.throwIfAborted();
    throw thrown;
  } finally {
    signal.removeEventListener('abort', stop);
  }
  return digests === null ? null : await digests.fold();
}

class Sender {
  constructor(
    private readonly request: UploadRequest,
    private readonly missing: Float64Array,
    private readonly buffers: BufferPool,
    private readonly digests: BlockDigests | null,
  ) {}

  async run(step: UploadStep): Promise<void> {
    if (step.kind === 'hole') await this.#zero(step.range);
    else await this.#block(step.range, step.send);
  }

  async #block({ start, length }: Range, send: boolean): Promise<void> {
    const { workers, source } = this.request;
    const buffer = await this.buffers.acquire();
    try {
      const algorithm = this.digests === null ? null : ALGORITHM;
      const found = await workers.run('readBlock', { handle: source, buffer, length, position: start, algorithm });
      if (found.digest !== null) this.digests?.set(start, found.digest);
      if (!send) return;
      const bytes = view(buffer);
      let at = 0;
      for (const run of unpack(found.data)) {
        await this.#zero({ start: start + at, length: run.start - at });
        at = end(run);
        await this.#put(start + run.start, bytes.subarray(run.start, at));
      }
      await this.#zero({ start: start + at, length: length - at });
    } finally {
      this.buffers.release(buffer);
    }
  }

  async #put(start: number, bytes: Uint8Array): Promise<void> {
    const { clients } = this.request;
    const range = { start, length: bytes.length };
    if (this.#isMissing(range)) await clients.write((client) => client.put(start, bytes));
    this.#done(range);
  }

  async #zero(range: Range): Promise<void> {
    const { clients, zeroes } = this.request;
    if (zeroes === 'send' && this.#isMissing(range)) await clients.write((client) => client.zero(range));
    this.#done(range);
  }

  #isMissing(range: Range): boolean {
    return touches(this.missing, range.start, end(range));
  }

  /** What was durable before has been counted at the beginning. */
  #done(range: Range): void {
    this.request.onDone(overlap(this.missing, range.start, end(range)));
  }
}
