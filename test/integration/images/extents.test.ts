/** Extents: what of an image is data, as its file system tells. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { makeImage, type Segment } from '../../helpers/bytes.js';
import { DataPlane } from '../../helpers/data-plane.js';
import { expectError, expectJson, json } from './expectations.js';

const KiB = 1024;
const MiB = 1024 * KiB;

interface Extent {
  readonly start: number;
  readonly length: number;
  readonly zero: boolean;
  readonly hole: boolean;
}

describe('GET /images/{id}/extents', function () {
  this.timeout(30_000);
  let plane: DataPlane;
  let counter = 0;
  before(async () => {
    plane = await DataPlane.shared();
  });

  async function sparseImage(size: number, segments: readonly Segment[], fields = {}) {
    const path = join(plane.storage, `sparse-${counter++}`);
    await makeImage(path, size, segments);
    return await plane.imageAt(path, { size, ...fields });
  }

  /** Of the right shape, from 0 on, and without gaps. */
  async function extentsOf(url: string, query = ''): Promise<Extent[]> {
    const extents = expectJson(await plane.request({ path: `${url}/extents${query}` })) as Extent[];
    let end = 0;
    for (const extent of extents) {
      expect(extent).to.have.all.keys('start', 'length', 'zero', 'hole');
      expect(extent.start).to.equal(end);
      expect(extent.length).to.be.above(0);
      expect(extent.zero).to.be.a('boolean');
      expect(extent.hole).to.equal(false);
      end += extent.length;
    }
    return extents;
  }

  const extent = (start: number, length: number, zero: boolean): Extent => ({ start, length, zero, hole: false });

  it('tells data and holes', async () => {
    const { url } = await sparseImage(8 * MiB, [
      { start: MiB, length: MiB },
      { start: 5 * MiB, length: 128 * KiB },
    ]);
    const wanted = [
      extent(0, MiB, true),
      extent(MiB, MiB, false),
      extent(2 * MiB, 3 * MiB, true),
      extent(5 * MiB, 128 * KiB, false),
      extent(5 * MiB + 128 * KiB, 3 * MiB - 128 * KiB, true),
    ];
    expect(await extentsOf(url)).to.deep.equal(wanted);
    expect(await extentsOf(url, '?context=zero')).to.deep.equal(wanted);
  });

  it('tells one extent of an image without holes, and of one without data', async () => {
    const full = await sparseImage(3 * MiB, [{ start: 0, length: 3 * MiB }]);
    expect(await extentsOf(full.url)).to.deep.equal([extent(0, 3 * MiB, false)]);
    const empty = await sparseImage(3 * MiB, []);
    expect(await extentsOf(empty.url)).to.deep.equal([extent(0, 3 * MiB, true)]);
  });

  it('ends where the image ends, also when that is no multiple of anything', async () => {
    const size = 2 * MiB + 12_345;
    const { url } = await sparseImage(size, [{ start: 0, length: MiB }]);
    expect(await extentsOf(url)).to.deep.equal([extent(0, MiB, false), extent(MiB, size - MiB, true)]);
    const smaller = await sparseImage(MiB + 7, [{ start: 0, length: MiB + 7 }], { size: 4 * MiB });
    expect(await extentsOf(smaller.url)).to.deep.equal([extent(0, MiB + 7, false)]);
  });

  it('tells what was written and zeroed in between', async () => {
    const { url } = await sparseImage(4 * MiB, [{ start: 0, length: 2 * MiB }], { sparse: true });
    const zero = { op: 'zero', offset: 0, size: MiB };
    await plane.request({ method: 'PATCH', path: url, body: json(zero) });
    const headers = { 'Content-Range': `bytes ${3 * MiB}-*/*` };
    await plane.request({ method: 'PUT', path: url, headers, body: Buffer.alloc(MiB, 'x') });
    expect(await extentsOf(url)).to.deep.equal([
      extent(0, MiB, true),
      extent(MiB, MiB, false),
      extent(2 * MiB, MiB, true),
      extent(3 * MiB, MiB, false),
    ]);
  });

  it('joins what is very fragmented, and never calls data zero', async () => {
    const data = Array.from({ length: 10_100 }, (_, i) => ({ start: i * 8 * KiB, length: 4 * KiB, seed: 1 }));
    const end = 10_100 * 8 * KiB;
    const { url } = await sparseImage(end + 3 * MiB, [...data, { start: end + 2 * MiB, length: MiB }]);
    const extents = await extentsOf(url);
    expect(extents.length).to.be.below(100);
    const zeroes = extents.filter(({ zero }) => zero);
    expect(zeroes).to.deep.equal([extent(end - 4 * KiB, 2 * MiB + 4 * KiB, true)]);
  });

  it('tells each hole of an image that is a little fragmented', async () => {
    const data = Array.from({ length: 50 }, (_, i) => ({ start: i * 16 * KiB, length: 8 * KiB }));
    const { url } = await sparseImage(50 * 16 * KiB, data);
    const extents = await extentsOf(url);
    for (const { start, length } of extents.filter(({ zero }) => zero)) {
      expect(data.some((each) => each.start < start + length && each.start + each.length > start)).to.equal(false);
    }
  });

  it('knows no dirty ranges of a file', async () => {
    const { url } = await sparseImage(MiB, []);
    expectError(await plane.request({ path: `${url}/extents?context=dirty` }), 404);
  });

  for (const context of ['', 'x', 'ZERO', 'zero,dirty']) {
    it(`does not know the context "${context}"`, async () => {
      const { url } = await sparseImage(MiB, []);
      expectError(await plane.request({ path: `${url}/extents?context=${context}` }), 400);
    });
  }

  for (const method of ['PUT', 'PATCH', 'POST', 'DELETE', 'OPTIONS']) {
    it(`answers 405 to ${method}`, async () => {
      const { url } = await sparseImage(MiB, []);
      expectError(await plane.request({ method, path: `${url}/extents`, body: '{}' }), 405);
    });
  }

  it('answers 500 when the image is not there', async () => {
    const { url } = await plane.imageAt(join(plane.storage, 'missing'), { size: 512 });
    expectError(await plane.request({ path: `${url}/extents` }), 500);
  });

  it('names a file that appears later', async () => {
    const path = join(plane.storage, `later-${counter++}`);
    const { url } = await plane.imageAt(path, { size: MiB });
    expectError(await plane.request({ path: `${url}/extents` }), 500);
    await writeFile(path, Buffer.alloc(MiB, 'x'));
    expect(await extentsOf(url)).to.deep.equal([extent(0, MiB, false)]);
  });
});
