/** Hashes by Python's names: the digests of 'abc' are those that Python's hashlib gives. */
import { expect } from 'chai';
import { FerryError } from '../../../shared/errors.js';
import { checkAlgorithm, hashAlgorithms, hashMaker } from '../../../workers/hashes.js';

/** The first 16 digits, and the length in bytes. */
const ABC: Readonly<Record<string, readonly [string, number]>> = {
  blake2b: ['bddd813c63423972', 32],
  blake2s: ['508c5e8c327c14e2', 32],
  md5: ['900150983cd24fb0', 16],
  'md5-sha1': ['900150983cd24fb0', 36],
  ripemd160: ['8eb208f7e05d987a', 20],
  sha1: ['a9993e364706816a', 20],
  sha224: ['23097d223405d822', 28],
  sha256: ['ba7816bf8f01cfea', 32],
  sha384: ['cb00753f45a35e8b', 48],
  sha3_224: ['e642824c3f8cf24a', 28],
  sha3_256: ['3a985da74fe225b2', 32],
  sha3_384: ['ec01498288516fc9', 48],
  sha3_512: ['b751850b1a57168a', 64],
  sha512: ['ddaf35a193617aba', 64],
  sha512_224: ['4634270f707b6a54', 28],
  sha512_256: ['53048e2681941ef9', 32],
  shake_128: ['5881092dd818bf5c', 32],
  shake_256: ['483366601360a877', 32],
  sm3: ['66c7f0f462eeedd9', 32],
};

describe('hashes', () => {
  it('are those of the protocol, sorted', () => {
    expect(hashAlgorithms()).to.deep.equal(Object.keys(ABC).sort());
  });

  for (const [name, [begin, length]] of Object.entries(ABC)) {
    it(`${name} gives what Python gives, also when it is used again`, async () => {
      const make = await hashMaker(name);
      for (let round = 0; round < 2; round += 1) {
        const hash = make();
        hash.update(Buffer.from('a'));
        hash.update(Buffer.from('bc'));
        const digest = Buffer.from(hash.digest());
        expect(digest.toString('hex').slice(0, 16)).to.equal(begin);
        expect(digest).to.have.length(length);
      }
    });
  }

  it('names every algorithm, in quotes, when one is not known', () => {
    let refusal: unknown;
    try {
      checkAlgorithm('crc32');
    } catch (thrown) {
      refusal = thrown;
    }
    expect(refusal).to.be.instanceOf(FerryError);
    const { message, code } = refusal as FerryError;
    expect(code).to.equal('BAD_REQUEST');
    for (const name of ['algorithm', 'crc32', ...hashAlgorithms()]) expect(message).to.include(`'${name}'`);
  });
});
