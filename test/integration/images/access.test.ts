/** Who may do what with an image: tickets that are unknown, expired, canceled or too weak, and images out of reach. */
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { DataPlane } from '../../helpers/data-plane.js';
import { expectError, expectForbidden, json } from './expectations.js';

const READS = [
  { method: 'OPTIONS', suffix: '' },
  { method: 'GET', suffix: '' },
  { method: 'GET', suffix: '/extents' },
  { method: 'GET', suffix: '/checksum' },
] as const;
const WRITES = [
  { method: 'PUT', suffix: '', body: 'hello' },
  { method: 'PATCH', suffix: '', body: json({ op: 'zero', size: 1 }) },
  { method: 'PATCH', suffix: '', body: json({ op: 'flush' }) },
] as const;

describe('access to images', function () {
  this.timeout(30_000);
  let plane: DataPlane;
  before(async () => {
    plane = await DataPlane.shared();
  });

  for (const request of [...READS, ...WRITES]) {
    const { method, suffix } = request;
    const what = `${method} ${suffix || ('body' in request ? request.body : '')}`;
    const ask = async (url: string) => {
      await using connection = await plane.connect();
      await expectForbidden(connection, await connection.request({ ...request, path: url + suffix }));
    };

    it(`${what} needs a ticket`, async () => {
      await ask('/images/no-such-ticket');
    });

    it(`${what} needs a ticket that has not expired`, async () => {
      const { id, url } = await plane.image(Buffer.alloc(512));
      await plane.control('PATCH', `/tickets/${id}`, { timeout: 0 });
      await ask(url);
    });

    it(`${what} needs a ticket that allows something`, async () => {
      await ask((await plane.image(Buffer.alloc(512), { ops: [] })).url);
      await ask((await plane.image(Buffer.alloc(512), { ops: ['fly'] })).url);
    });
  }

  for (const request of WRITES) {
    it(`${request.method} ${request.body} needs a ticket for writing`, async () => {
      const image = await plane.image(Buffer.alloc(512, 'a'), { ops: ['read'] });
      await using connection = await plane.connect();
      await expectForbidden(connection, await connection.request({ ...request, path: image.url }));
      expect((await image.read()).equals(Buffer.alloc(512, 'a'))).to.equal(true);
    });
  }

  for (const { method, suffix } of READS) {
    it(`${method} ${suffix} is allowed by a ticket for writing`, async () => {
      const { url } = await plane.image(Buffer.alloc(512), { ops: ['write'] });
      expect((await plane.request({ method, path: url + suffix })).status).to.equal(200);
    });
  }

  it('answers 500 when the image is not there, and does not tell where', async () => {
    for (const request of [
      {},
      { method: 'PUT', body: 'x' },
      { method: 'PATCH', body: json({ op: 'zero', size: 1 }) },
    ]) {
      const { url } = await plane.imageAt(join(plane.storage, 'missing'), { size: 512 });
      const answer = await plane.request({ ...request, path: url });
      expectError(answer, 500);
      expect(answer.text()).not.to.include(plane.storage);
      expect(answer.text()).not.to.match(/\bat .*:\d+|node:|\.js\b/);
    }
  });

  it('stays within the storage roots, whatever a ticket says', async () => {
    const outside = join(plane.outside, 'outside.img');
    await writeFile(outside, 'secret');
    await symlink(outside, join(plane.storage, 'link'));
    for (const path of [outside, `${plane.storage}/../outside.img`, join(plane.storage, 'link')]) {
      const { url } = await plane.imageAt(path, { size: 6 });
      expectError(await plane.request({ path: url }), 403);
      expectError(await plane.request({ method: 'PUT', path: url, body: 'public' }), 403);
      expectError(await plane.request({ path: `${url}/checksum` }), 403);
    }
    expect(await readFile(outside, 'utf8')).to.equal('secret');
  });
});
