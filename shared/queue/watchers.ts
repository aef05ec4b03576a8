/**
 * Who wants to hear of changes to which job, over one subscriber connection of the process.
 * A callback means "look again", never more: it may come without a change (after a reconnect), and
 * several changes may come as one.
 */
import type { Redis } from 'ioredis';
import { FerryError } from '../errors.js';
import { keys } from './keys.js';

const SUBSCRIBE_TIMEOUT_MS = 5000;
const CHANNELS = keys.change('');

export class Watchers {
  readonly #subscriber: Redis;
  readonly #callbacks = new Map<string, Set<() => void>>();

  constructor(subscriber: Redis) {
    this.#subscriber = subscriber;
    subscriber.on('message', (channel: string) => {
      if (channel.startsWith(CHANNELS)) this.#wake(channel.slice(CHANNELS.length));
    });
    // What was published while the connection was away is lost: everybody looks again.
    // They look after a confirmed subscription, or a change in between would be lost again.
    subscriber.on('ready', () => {
      for (const id of this.#callbacks.keys()) {
        subscriber.subscribe(keys.change(id)).then(
          () => this.#wake(id),
          () => {},
        );
      }
    });
  }

  /** Number of jobs somebody watches; for tests that look for leaks. */
  get size(): number {
    return this.#callbacks.size;
  }

  /**
   * Registers a callback. When the promise resolves, Redis has confirmed the subscription: a change
   * made from now on calls back. Read the record after that, and nothing is lost in between.
   * @throws FerryError QUEUE_UNAVAILABLE  no confirmation in time; nothing stays registered
   */
  async watch(id: string, callback: () => void): Promise<() => void> {
    const { stop, confirmed } = this.#register(id, callback);
    try {
      await bounded(confirmed);
    } catch (cause) {
      stop();
      throw new FerryError('QUEUE_UNAVAILABLE', 'the queue server cannot be reached', {}, { cause });
    }
    return stop;
  }

  /** As watch, without waiting: `callback` is called once more when the subscription stands. */
  add(id: string, callback: () => void): () => void {
    const { stop, confirmed } = this.#register(id, callback);
    confirmed.then(callback, () => {});
    return stop;
  }

  #register(id: string, callback: () => void): { stop: () => void; confirmed: Promise<unknown> } {
    const set = this.#callbacks.get(id) ?? new Set();
    // One function may be given twice; each registration ends by itself.
    const entry = () => callback();
    set.add(entry);
    this.#callbacks.set(id, set);
    const stop = () => {
      if (!set.delete(entry) || set.size > 0) return;
      this.#callbacks.delete(id);
      this.#subscriber.unsubscribe(keys.change(id)).catch(() => {});
    };
    // Commands keep their order on one connection: a subscribe after an unsubscribe of the same job wins.
    return { stop, confirmed: this.#subscriber.subscribe(keys.change(id)) };
  }

  /** Calls everybody back, for the end of the process. */
  wakeAll(): void {
    for (const id of [...this.#callbacks.keys()]) this.#wake(id);
  }

  #wake(id: string): void {
    for (const callback of [...(this.#callbacks.get(id) ?? [])]) callback();
  }
}

function bounded<T>(work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`no answer within ${SUBSCRIBE_TIMEOUT_MS} ms`)),
      SUBSCRIBE_TIMEOUT_MS,
    );
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
