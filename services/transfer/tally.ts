/**
 * What an attempt has moved since it was last asked. An attempt begins at zero and is asked until all its tasks have
 * ended, so each byte is counted once: what an earlier attempt did is that one's, what is done again counts again.
 */
import type { ZeroMethod } from '../../shared/zero-methods.js';
import type { JobProgress } from './progress.js';

/** Bytes, all of them more than at the last time. */
export interface Moved {
  readonly copied: number;
  readonly cloned: number;
  readonly zeroed: readonly { readonly method: ZeroMethod; readonly bytes: number }[];
  readonly durable: number;
  readonly verified: number;
}

export class Tally {
  readonly #seen = new Map<string, number>();

  constructor(private readonly progress: JobProgress) {}

  take(): Moved {
    const { control } = this.progress;
    return {
      copied: this.#more('copied', control.read('copied')),
      cloned: this.#more('cloned', control.read('cloned')),
      zeroed: control.zeroed().map(({ method, bytes }) => ({ method, bytes: this.#more(`zeroed ${method}`, bytes) })),
      durable: this.#more('durable', this.progress.madeDurableBytes),
      verified: this.#more('verified', control.read('verified')),
    };
  }

  #more(name: string, total: number): number {
    const more = total - (this.#seen.get(name) ?? 0);
    this.#seen.set(name, total);
    return more;
  }
}
