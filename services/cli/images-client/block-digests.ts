/** The checksum of an image from the digests of its blocks, which come in any order; blocks without one are zeroes. */
import { hashMaker } from '../../../workers/hashes.js';
import { BLOCK } from './upload-steps.js';

/** Quick where the processor helps, and known to every server. */
export const ALGORITHM = 'sha256';

export interface ImageChecksum {
  readonly algorithm: string;
  readonly blockSize: number;
  readonly checksum: string;
}

export class BlockDigests {
  readonly #digests = new Map<number, Uint8Array>();

  constructor(private readonly size: number) {}

  set(start: number, digest: Uint8Array): void {
    this.#digests.set(start, digest);
  }

  async fold(): Promise<ImageChecksum> {
    const make = await hashMaker(ALGORITHM);
    const zeroes = (length: number) => {
      const hash = make();
      hash.update(new Uint8Array(length));
      return hash.digest();
    };
    const zeroBlock = zeroes(Math.min(BLOCK, this.size));
    const all = make();
    for (let start = 0; start < this.size; start += BLOCK) {
      const length = Math.min(BLOCK, this.size - start);
      all.update(this.#digests.get(start) ?? (start === 0 || length === BLOCK ? zeroBlock : zeroes(length)));
    }
    const checksum = Buffer.from(all.digest()).toString('hex');
    return { algorithm: ALGORITHM, blockSize: BLOCK, checksum };
  }
}
