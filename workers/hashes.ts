/**
 * Hash algorithms of the imageio protocol, by Python's names. Node's crypto computes all but blake2b with a digest of
 * 32 bytes, which is a parameter of the algorithm and not a longer digest cut short: that one comes from hash-wasm.
 * blake2s has digests of 32 bytes anyway. Facts: RFC 7693, Python's hashlib.
 */
import { createHash, getHashes } from 'node:crypto';
import type { IHasher } from 'hash-wasm';
import { FerryError } from '../shared/errors.js';

export interface Hash {
  update(bytes: Uint8Array): void;
  digest(): Uint8Array;
}

const DIGEST_BYTES = 32;
const WASM = 'blake2b';

/** Python's name → OpenSSL's; of the shakes, which have no length of their own, we take 32 bytes. */
const OPENSSL: Readonly<Record<string, { readonly name: string; readonly outputLength?: number }>> = {
  blake2s: { name: 'blake2s256' },
  md5: { name: 'md5' },
  'md5-sha1': { name: 'md5-sha1' },
  ripemd160: { name: 'ripemd160' },
  sha1: { name: 'sha1' },
  sha224: { name: 'sha224' },
  sha256: { name: 'sha256' },
  sha384: { name: 'sha384' },
  sha3_224: { name: 'sha3-224' },
  sha3_256: { name: 'sha3-256' },
  sha3_384: { name: 'sha3-384' },
  sha3_512: { name: 'sha3-512' },
  sha512: { name: 'sha512' },
  sha512_224: { name: 'sha512-224' },
  sha512_256: { name: 'sha512-256' },
  shake_128: { name: 'shake128', outputLength: DIGEST_BYTES },
  shake_256: { name: 'shake256', outputLength: DIGEST_BYTES },
  sm3: { name: 'sm3' },
};

/** Those that this build of Node can compute, sorted. */
export function hashAlgorithms(): string[] {
  const known = new Set(getHashes().map((name) => name.toLowerCase()));
  const computed = Object.entries(OPENSSL).filter(([, { name }]) => known.has(name));
  return [WASM, ...computed.map(([name]) => name)].sort();
}

/** @throws FerryError BAD_REQUEST  the message names all that are known */
export function checkAlgorithm(name: string): void {
  const known = hashAlgorithms();
  if (known.includes(name)) return;
  const names = known.map((each) => `'${each}'`).join(', ');
  throw new FerryError('BAD_REQUEST', `Invalid value for 'algorithm': '${name}', expected one of ${names}`);
}

/** Makes new hashes of one algorithm; each is to be digested before the next one begins. */
export type HashMaker = () => Hash;

let blake2b: Promise<IHasher> | undefined;

/** @param name  one of `hashAlgorithms` */
export async function hashMaker(name: string): Promise<HashMaker> {
  if (name === WASM) {
    // Loaded by those threads that need it.
    blake2b ??= import('hash-wasm').then(({ createBLAKE2b }) => createBLAKE2b(DIGEST_BYTES * 8));
    const hasher = await blake2b;
    return () => {
      hasher.init();
      return { update: (bytes) => void hasher.update(bytes), digest: () => hasher.digest('binary') };
    };
  }
  const found = OPENSSL[name];
  if (found === undefined) throw new FerryError('INTERNAL', `no such hash: ${name}`);
  const { name: openssl, outputLength } = found;
  return () => createHash(openssl, outputLength === undefined ? {} : { outputLength });
}
