/**
 * Images that are open now. All tickets and connections of this node that write one image share its handle: so its
 * lock is taken once, and writers of one sector meet in one set of sector locks.
 */
import { realpath } from 'node:fs/promises';
import { FerryError } from '../../shared/errors.js';
import type { Log } from '../../shared/log.js';
import type { StorageLimits } from '../../shared/nbd-roots.js';
import { formatNbdUri } from '../../shared/nbd-uri.js';
import type { Workers } from '../../workers/pool.js';
import { type Handle, isTarget, type TargetHandle } from '../../workers/storage/handle.js';
import type { ImageUrl } from './tickets/image-url.js';
import type { Ticket } from './tickets/ticket.js';

export class OpenImage {
  #failedFlushes = 0;
  #failure: FerryError | null = null;
  #flushing: Promise<void> = Promise.resolve();
  #nextFlush: Promise<void> | null = null;

  constructor(
    private readonly workers: Workers,
    readonly handle: Handle,
  ) {}

  get failedFlushes(): number {
    return this.#failedFlushes;
  }

  /** The last flush that failed; null: none did. */
  get failure(): FerryError | null {
    return this.#failure;
  }

  /** Where it may be written. */
  get target(): TargetHandle {
    if (isTarget(this.handle)) return this.handle;
    throw new FerryError('STORAGE_DENIED', `${this.handle.path} was opened for reading only`);
  }

  /** Bytes it has now. */
  async size(): Promise<number> {
    return await this.workers.run('imageSize', { handle: this.handle });
  }

  /**
   * @param knownFailures  of `failedFlushes`: those that the caller was told of
   * @throws FerryError FLUSH_FAILED  this flush failed, or one since then did
   */
  async flush(knownFailures: number): Promise<void> {
    await this.#flush(this.target);
    if (this.#failedFlushes > knownFailures && this.#failure !== null) throw this.#failure;
  }

  /**
   * One flush after another: of two at once the kernel tells only one that writes were lost, and the other would be
   * called good. Who asks while one runs shares the next one, which covers what was written until it begins.
   */
  #flush(target: TargetHandle): Promise<void> {
    this.#nextFlush ??= this.#flushing.then(() => {
      this.#nextFlush = null;
      const flushed = this.workers.run('flush', { target }).catch((thrown: unknown) => {
        this.#failedFlushes += 1;
        this.#failure = thrown as FerryError;
        throw thrown;
      });
      this.#flushing = flushed.catch(() => {});
      return flushed;
    });
    return this.#nextFlush;
  }
}

interface Entry {
  readonly opening: Promise<OpenImage>;
  users: number;
}

export interface OpenImagesOptions {
  readonly workers: Workers;
  readonly limits: StorageLimits;
  readonly log: Log;
}

export class OpenImages {
  readonly #entries = new Map<string, Entry>();
  readonly #keys = new Map<OpenImage, string>();
  /** Of jobs: they open and close themselves. */
  readonly #given = new Map<Ticket, OpenImage>();
  readonly #closing = new Set<Promise<void>>();

  constructor(private readonly options: OpenImagesOptions) {}

  /** Storage that somebody else opened and closes, for as long as the ticket exists. */
  give(ticket: Ticket, handle: Handle): OpenImage {
    const image = new OpenImage(this.options.workers, handle);
    this.#given.set(ticket, image);
    return image;
  }

  forget(ticket: Ticket): void {
    this.#given.delete(ticket);
  }

  /** Call `release` once for each time this resolved. @throws FerryError what `openImage` throws */
  async open(ticket: Ticket): Promise<OpenImage> {
    const given = this.#given.get(ticket);
    if (given !== undefined) return given;
    const { image } = ticket.fields;
    if (image === null) throw new FerryError('CANCELED', 'The job of this ticket has ended');
    const write = ticket.may('write');
    const key = `${write ? 'write' : 'read'} ${await canonical(image)}`;
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { opening: this.#open(image, write), users: 0 };
      this.#entries.set(key, entry);
    }
    entry.users += 1;
    try {
      const opened = await entry.opening;
      this.#keys.set(opened, key);
      return opened;
    } catch (thrown) {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
      throw thrown;
    }
  }

  release(image: OpenImage): void {
    const key = this.#keys.get(image);
    const entry = key === undefined ? undefined : this.#entries.get(key);
    if (key === undefined || entry === undefined) return;
    entry.users -= 1;
    if (entry.users > 0) return;
    this.#entries.delete(key);
    this.#keys.delete(image);
    const { workers, log } = this.options;
    const closed = workers
      .run('close', { handles: [image.handle] })
      .catch((err: unknown) => log.warn({ err }, 'an image could not be closed'))
      .finally(() => this.#closing.delete(closed));
    this.#closing.add(closed);
  }

  /** Open now, for whatever user. */
  get count(): number {
    return this.#entries.size + this.#given.size;
  }

  /** Resolves when what was released before is closed. */
  async settled(): Promise<void> {
    await Promise.all(this.#closing);
  }

  async #open(image: ImageUrl, write: boolean): Promise<OpenImage> {
    const { workers, limits } = this.options;
    // What is being closed may still have its lock.
    await this.settled();
    const handle = await workers.run('openImage', { image, write, ...limits });
    return new OpenImage(workers, handle);
  }
}

/** Two names of one image are one image. What cannot be resolved is for opening to refuse. */
async function canonical(image: ImageUrl): Promise<string> {
  const resolved = async (path: string) => await realpath(path).catch(() => path);
  if (image.type === 'file') return await resolved(image.path);
  const { address } = image;
  if (address.transport === 'tcp') return formatNbdUri(address);
  return formatNbdUri({ ...address, socket: await resolved(address.socket) });
}
