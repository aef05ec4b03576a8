/** Checksums: known ones, made with Python's hashlib over the same image, and how wrong questions are answered. */
import { join } from 'node:path';
import { expect } from 'chai';
import { makeImage } from '../../helpers/bytes.js';
import { DataPlane } from '../../helpers/data-plane.js';
import { expectError, expectJson } from './expectations.js';

const MiB = 1024 * 1024;
const SIZE = 13 * MiB + 1000;

/** Algorithm, block size in MiB, checksum. */
const KNOWN: [string, number, string][] = [
  ['blake2b', 4, '69e985ca826a959a96452d676a350b2103ea9eebbc75579d97bf43ab030ed389'],
  ['blake2b', 1, 'dfa2c51187744fccbbd6487f0e9be87cfc70f737c69b1a7e5f3cd98611f2064e'],
  ['blake2s', 4, '0381543ff37d07db5fdf3ef822acfacd89a3af39535e85e756bab3fbea09fbb0'],
  ['blake2s', 1, '55496d637c069c970c4463be50499f811b4ae58451af09d32298ccb4a249b4c8'],
  ['sha256', 4, '204f4f7b5e4e7dbc64947d75c190a8241434f2acbbc8ffefc03e3c4c90957899'],
  ['sha256', 1, '83258b253eadd9b33d7755aa2092877b379cc30894be9e40b2e4282fbb2ccd79'],
  ['sha3_256', 1, 'feb979f9c663808f2ffe5d636fb72c98118f576f8100b37fac4a7bfd1f35b6de'],
  ['shake_128', 1, '1863e09d253de4ead9938a06e95d3f7b8b43cb5b3188da1a788edef63d1e3fdc'],
  ['shake_256', 1, '5eae566264cd38058a2e7fa41c7311bee489aedb4b638b2862d9cc3c40921fb1'],
  ['sm3', 1, '4516026fc08ea25bf16c7a091d0dafd458c43aa8cdc66791035e87e3e8d2ab1f'],
  ['ripemd160', 1, '78328b2c7eecb97f055c61352f299882d3ea22a1'],
  ['md5-sha1', 1, 'c5bc6559ba3e233d69f2298759bcfa65d1f14cb89cb25d710e2ade4b9015d5ff898fbb01'],
];
/** What every client may count on; the rest depends on the libraries of the machine. */
const COMMON = ['blake2b', 'blake2s', 'md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512', 'sha3_256', 'sha3_512'];

describe('GET /images/{id}/checksum', function () {
  this.timeout(30_000);
  let plane: DataPlane;
  let url: string;
  let known: string[];
  before(async () => {
    plane = await DataPlane.shared();
    const path = join(plane.storage, 'checksum.img');
    await makeImage(path, SIZE, [
      { start: MiB - 50, length: 2 * MiB + 100, seed: 1 },
      { start: 12 * MiB + 1000, length: MiB, seed: 2 },
    ]);
    ({ url } = await plane.imageAt(path, { size: SIZE, ops: ['read'] }));
    const algorithms = await plane.request({ path: '/images/no-such-ticket/checksum/algorithms' });
    known = (algorithms.json() as { algorithms: string[] }).algorithms;
  });

  const ask = (query: string, path = url) => plane.request({ path: `${path}/checksum${query}` });

  it('uses blake2b and blocks of 4 MiB unless told otherwise', async () => {
    expect(expectJson(await ask(''))).to.deep.equal({
      algorithm: 'blake2b',
      block_size: 4 * MiB,
      checksum: KNOWN[0]?.[2],
    });
  });

  for (const [algorithm, blockMiB, checksum] of KNOWN) {
    it(`computes ${algorithm} over blocks of ${blockMiB} MiB as Python does`, async () => {
      if (!known.includes(algorithm) && !COMMON.includes(algorithm)) {
        expectError(await ask(`?algorithm=${algorithm}`), 400);
        return;
      }
      const answer = await ask(`?algorithm=${algorithm}&block_size=${blockMiB * MiB}`);
      expect(expectJson(answer)).to.deep.equal({ algorithm, block_size: blockMiB * MiB, checksum });
    });
  }

  it('covers the image, and no more than there is', async () => {
    const empty = await plane.image(Buffer.alloc(0), { size: 0 });
    // blake2b of nothing, 32 bytes long.
    const nothing = '0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8';
    expect(expectJson(await ask('', empty.url))).to.include({ checksum: nothing });
  });

  for (const size of [
    '0',
    '-1',
    'x',
    '',
    '1.5',
    '4096',
    String(MiB - 4096),
    String(MiB + 1),
    String(16 * MiB + 4096),
    '1e6',
  ]) {
    it(`refuses blocks of "${size}", before it opens the image`, async () => {
      const missing = await plane.imageAt(join(plane.storage, 'missing'), { size: 512 });
      for (const path of [url, missing.url]) expectError(await ask(`?block_size=${size}`, path), 400);
    });
  }

  for (const size of [MiB, MiB + 4096, 16 * MiB]) {
    it(`takes blocks of ${size}`, async () => {
      expect(expectJson(await ask(`?block_size=${size}`))).to.include({ block_size: size });
    });
  }

  it('names an unknown algorithm, and those that are known', async () => {
    const missing = await plane.imageAt(join(plane.storage, 'missing'), { size: 512 });
    for (const path of [url, missing.url]) {
      const answer = await ask('?algorithm=crc32', path);
      expectError(answer, 400);
      for (const word of ['algorithm', 'crc32', ...known]) expect(answer.text()).to.include(`'${word}'`);
    }
  });

  it('lists algorithms without a ticket, sorted, and computes each of them', async () => {
    const answer = await plane.request({ path: '/images/no-such-ticket/checksum/algorithms' });
    expect(expectJson(answer)).to.deep.equal({ algorithms: [...known].sort() });
    expect(known).to.include.members(COMMON);
    const small = await plane.image(Buffer.from('hello'));
    for (const algorithm of known) {
      const { checksum } = expectJson(await ask(`?algorithm=${algorithm}`, small.url)) as { checksum: string };
      expect(checksum).to.match(/^([0-9a-f]{2}){16,}$/);
    }
  });

  it('answers 500 when the image is not there', async () => {
    const { url: missing } = await plane.imageAt(join(plane.storage, 'missing'), { size: 512 });
    expectError(await ask('', missing), 500);
  });
});
