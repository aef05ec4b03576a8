/**
 * Transfer buffers: SharedArrayBuffers whose first used byte is aligned for direct I/O.
 * The pool bounds what is in flight in bytes, over all jobs of a node: a step without a buffer waits.
 * Plain data crosses to the threads; the bytes themselves are never copied between threads.
 */
import { MiB } from '../shared/units.js';
import { loadNative, type NativeIo } from './native/index.js';

/** Direct I/O wants memory aligned to the sector; no storage we know wants more than a page. */
export const MEMORY_ALIGNMENT = 4096;

/** Of x86 and of 64-bit ARM with small pages. */
const HUGE_PAGE = 2 * MiB;

/** An aligned window into shared memory; may be posted to a thread. */
export interface SharedBuffer {
  readonly memory: SharedArrayBuffer;
  /** Where the aligned window begins. */
  readonly offset: number;
  readonly length: number;
}

export function allocateShared(io: NativeIo, length: number): SharedBuffer {
  const huge = length % HUGE_PAGE === 0;
  const alignment = huge ? HUGE_PAGE : MEMORY_ALIGNMENT;
  const memory = new SharedArrayBuffer(length + alignment);
  const buffer = { memory, offset: io.alignmentOffset(new Uint8Array(memory), alignment), length };
  // Before it is touched for the first time.
  if (huge) io.adviseHugePages(view(buffer));
  return buffer;
}

export function view(buffer: SharedBuffer): Uint8Array {
  return new Uint8Array(buffer.memory, buffer.offset, buffer.length);
}

export class BufferPool {
  readonly #free: SharedBuffer[] = [];
  readonly #waiting: ((buffer: SharedBuffer) => void)[] = [];
  #allocated = 0;

  /**
   * @param bufferLength  bytes of one buffer
   * @param limit         how many there may be; they are made when first needed
   */
  constructor(
    readonly bufferLength: number,
    readonly limit: number,
    private readonly io: NativeIo = loadNative(),
  ) {}

  /** A buffer, at once or when one is given back; first come, first served. Its content is undefined. */
  async acquire(): Promise<SharedBuffer> {
    return this.tryAcquire() ?? (await new Promise((resolve) => this.#waiting.push(resolve)));
  }

  /** As `acquire`, but null when none is free now. Small ones are made a huge page at a time. */
  tryAcquire(): SharedBuffer | null {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#allocated >= this.limit) return null;
    const many = Math.floor(HUGE_PAGE / this.bufferLength);
    if (many < 2 || this.limit - this.#allocated < many) {
      this.#allocated += 1;
      return allocateShared(this.io, this.bufferLength);
    }
    const { memory, offset } = allocateShared(this.io, HUGE_PAGE);
    for (let i = 0; i < many; i += 1) {
      this.#free.push({ memory, offset: offset + i * this.bufferLength, length: this.bufferLength });
    }
    this.#allocated += many;
    return this.#free.pop() as SharedBuffer;
  }

  /** As `acquire`, but null when none was given back within so many ms. */
  async acquireWithin(patienceMs: number): Promise<SharedBuffer | null> {
    const free = this.tryAcquire();
    if (free !== null) return free;
    return await new Promise((resolve) => {
      const take = (buffer: SharedBuffer) => {
        clearTimeout(timer);
        resolve(buffer);
      };
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(take), 1);
        resolve(null);
      }, patienceMs);
      this.#waiting.push(take);
    });
  }

  release(buffer: SharedBuffer): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(buffer);
    else next(buffer);
  }

  /** Buffers handed out now. */
  get inUse(): number {
    return this.#allocated - this.#free.length;
  }
}
