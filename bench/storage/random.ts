/** Random numbers and bytes that are the same in every run with the same seed, so that a run can be repeated. */
import { type Cipher, createCipheriv, createHash } from 'node:crypto';

/** @returns numbers from 0 up to, not including, 1 (mulberry32) */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A stream of bytes in which no block repeats and none is zero: `update` of zeroes gives the next ones. */
export function randomBytes(seed: number): Cipher {
  const key = createHash('sha256').update(`bench ${seed}`).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
}
