import { createHash } from 'node:crypto';
import { CHECKSUM_ALGORITHM } from '../../workers/tasks/checksum.js';

/** The checksum of an image: the hash of its blocks' digests, one after another. */
export class ChecksumFold {
  readonly #hash = createHash(CHECKSUM_ALGORITHM);
  readonly #early = new Map<number, Uint8Array>();
  #next = 0;

  /** Takes the digests of part number `index`; parts may come in any order. */
  add(index: number, digests: Uint8Array): void {
    this.#early.set(index, digests);
    for (;;) {
      const due = this.#early.get(this.#next);
      if (due === undefined) return;
      this.#early.delete(this.#next);
      this.#hash.update(due);
      this.#next += 1;
    }
  }

  /** Hexadecimal. Call once, when every part was added. */
  digest(): string {
    return this.#hash.digest('hex');
  }
}
