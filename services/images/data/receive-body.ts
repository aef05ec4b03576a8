/**
 * Takes the body of a request off its socket into aligned buffers, one copy, and hands full ones on to be written,
 * several at once. Where no more can be taken the socket is paused. A client that stalls does not keep a buffer: what
 * it has sent so far is written.
 */
import type { IncomingMessage } from 'node:http';
import { alignDown, type Range } from '../../../shared/units.js';
import { MEMORY_ALIGNMENT, type SharedBuffer, view } from '../../../workers/buffers.js';
import { loadNative } from '../../../workers/native/index.js';
import type { ImageBuffers } from './image-buffers.js';

const STALL_MS = 200;

/** Part of the body: in `buffer` from `offset`, for `range` of the image. */
export interface Piece {
  readonly buffer: SharedBuffer;
  readonly offset: number;
  readonly range: Range;
}

export interface BodySink {
  readonly buffers: ImageBuffers;
  /** Writes; the buffer is used again when it resolves. */
  readonly write: (piece: Piece) => Promise<void>;
  /** Aborted when nothing more can come. */
  readonly cut: AbortSignal;
  /** Aborted when nothing more is wanted. */
  readonly canceling: AbortSignal;
}

/**
 * @param range  where the body goes; its length is that of the body
 * @returns      bytes that came and were written: fewer than asked for when the body was cut short or is not wanted
 * @throws what `write` throws, the first time; what was being written meanwhile has ended
 */
export async function receiveBody(request: IncomingMessage, range: Range, sink: BodySink): Promise<number> {
  const receiver = new Receiver(request, range, sink);
  try {
    return await receiver.run();
  } finally {
    receiver.dispose();
  }
}

/** As it came from the socket. */
interface Chunk {
  /** Not copied yet. */
  rest: Buffer;
  /** Where nothing else lies in it; null: it is not ours alone. */
  readonly memory: ArrayBuffer | null;
}

interface Filling {
  readonly buffer: SharedBuffer;
  readonly bytes: Uint8Array;
  readonly offset: number;
  readonly start: number;
  readonly capacity: number;
  filled: number;
}

class Receiver {
  readonly #native = loadNative();
  readonly #chunks: Chunk[] = [];
  readonly #writing = new Set<Promise<void>>();
  #filling: Filling | null = null;
  #position: number;
  #received = 0;
  #over = false;
  #failure: unknown = null;
  #wake: (() => void) | null = null;
  #stall: NodeJS.Timeout | null = null;

  constructor(
    private readonly request: IncomingMessage,
    private readonly range: Range,
    private readonly sink: BodySink,
  ) {
    this.#position = range.start;
  }

  async run(): Promise<number> {
    const { request, range, sink } = this;
    if (range.length === 0) return 0;
    for (const signal of [sink.cut, sink.canceling]) {
      if (signal.aborted) this.#end();
      signal.addEventListener('abort', this.#end);
    }
    request.on('data', this.#take);
    request.on('end', this.#end);
    for (;;) {
      await this.#copy();
      if (this.#failure !== null || sink.canceling.aborted || this.#received === range.length) break;
      if (this.#over) {
        this.#pull();
        if (this.#chunks.length === 0) break;
      } else await this.#woken();
    }
    if (this.#failure === null && !sink.canceling.aborted) this.#submit();
    await Promise.all(this.#writing);
    if (this.#failure !== null) throw this.#failure;
    return this.#received;
  }

  dispose(): void {
    const { request, sink } = this;
    if (this.#stall !== null) clearTimeout(this.#stall);
    for (const signal of [sink.cut, sink.canceling]) signal.removeEventListener('abort', this.#end);
    request.off('data', this.#take);
    request.off('end', this.#end);
    if (this.#filling !== null) sink.buffers.release(this.#filling.buffer);
  }

  readonly #take = (chunk: Buffer) => {
    const { buffer: memory } = chunk;
    this.#chunks.push({ rest: chunk, memory: chunk.length === memory.byteLength ? (memory as ArrayBuffer) : null });
    // Nearly always there is room: then the chunk is copied here and now.
    if (!this.#copyNow()) {
      this.request.pause();
      this.#wakeUp();
    } else if (this.#received === this.range.length) this.#wakeUp();
    else this.#watchStall();
  };

  readonly #end = () => {
    this.#over = true;
    this.#wakeUp();
  };

  /** Nothing more comes, but some of what came may still wait behind a pause; reading it calls `#take`. */
  #pull(): void {
    while (this.request.read() !== null);
  }

  /** @returns false when chunks are left for which there is no room */
  #copyNow(): boolean {
    for (let chunk = this.#chunks[0]; chunk !== undefined; chunk = this.#chunks[0]) {
      // Without a pause where that is possible: the client's next bytes are on their way.
      this.#filling ??= this.#beginNow();
      const filling = this.#filling;
      if (filling === null) return false;
      const room = Math.min(filling.capacity - filling.filled, chunk.rest.length);
      this.#native.copyBytes(filling.bytes, filling.offset + filling.filled, chunk.rest, 0, room);
      filling.filled += room;
      this.#received += room;
      this.#position += room;
      if (room < chunk.rest.length) chunk.rest = chunk.rest.subarray(room);
      else {
        this.#chunks.shift();
        if (chunk.memory !== null) this.#native.drop(chunk.memory);
      }
      if (filling.filled === filling.capacity) this.#submit();
    }
    return true;
  }

  /** Finds room for what is left, waiting for it where necessary. */
  async #copy(): Promise<void> {
    while (!this.#copyNow() && this.#failure === null) {
      while (this.#writing.size >= this.sink.buffers.window && this.#failure === null) await this.#oneWritten();
      if (this.#failure !== null) return;
      this.#filling = this.#begin(await this.sink.buffers.acquire());
    }
    if (this.#failure !== null) return;
    if (this.#filling !== null) this.#watchStall();
    this.request.resume();
  }

  async #oneWritten(): Promise<void> {
    await Promise.race(this.#writing);
  }

  #beginNow(): Filling | null {
    const buffer = this.sink.buffers.tryAcquire(this.#writing.size);
    return buffer === null ? null : this.#begin(buffer);
  }

  /** Pieces end where whole buffers of the image end, so that two of them share no sector. */
  #begin(buffer: SharedBuffer): Filling {
    const start = this.#position;
    const stop = Math.min(alignDown(start, buffer.length) + buffer.length, this.range.start + this.range.length);
    // As far from an aligned address as the range is from an aligned position: the middle then fits direct I/O.
    const offset = start % MEMORY_ALIGNMENT;
    const capacity = Math.min(stop - start, buffer.length - offset);
    return { buffer, bytes: view(buffer), offset, start, capacity, filled: 0 };
  }

  #submit(): void {
    const filling = this.#filling;
    this.#filling = null;
    if (filling === null) return;
    const { buffer, offset, start, filled } = filling;
    if (filled === 0) {
      this.sink.buffers.release(buffer);
      return;
    }
    const writing = this.sink
      .write({ buffer, offset, range: { start, length: filled } })
      .catch((thrown: unknown) => {
        this.#failure ??= thrown;
        this.#wakeUp();
      })
      .finally(() => {
        this.sink.buffers.release(buffer);
        this.#writing.delete(writing);
      });
    this.#writing.add(writing);
  }

  #watchStall(): void {
    if (this.#stall !== null) this.#stall.refresh();
    else this.#stall = setTimeout(() => this.#submit(), STALL_MS);
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = null;
  }

  async #woken(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }
}
