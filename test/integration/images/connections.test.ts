/** What one connection carries: request after request, several at once, and bodies that wait to be asked for. */
import { expect } from 'chai';
import { patternBytes } from '../../helpers/bytes.js';
import { DataPlane } from '../../helpers/data-plane.js';
import { requestBytes } from '../../helpers/raw-http.js';
import { expectClosing, expectEmpty, expectError, expectForbidden, expectJson, json } from './expectations.js';

const KiB = 1024;
const MiB = 1024 * KiB;

describe('a connection to the data plane', function () {
  this.timeout(30_000);
  let plane: DataPlane;
  before(async () => {
    plane = await DataPlane.shared();
  });

  it('serves request after request', async () => {
    const { url } = await plane.image(Buffer.alloc(64 * KiB));
    await using connection = await plane.connect();
    for (let i = 0; i < 20; i++) {
      const body = patternBytes(i, 1000);
      const range = `bytes ${i * 1000}-*/*`;
      const put = { method: 'PUT', path: `${url}?flush=n`, headers: { 'Content-Range': range }, body };
      expectEmpty(await connection.request(put));
      const read = await connection.request({
        path: url,
        headers: { Range: `bytes=${i * 1000}-${i * 1000 + 999}` },
      });
      expect(read.body.equals(body)).to.equal(true);
    }
    expectEmpty(await connection.request({ method: 'PATCH', path: url, body: json({ op: 'flush' }) }));
    expect(connection.isClosed).to.equal(false);
  });

  it('answers pipelined requests in their order, and each sees what those before it wrote', async () => {
    const image = await plane.image(Buffer.alloc(256 * KiB));
    await using connection = await plane.connect();
    const parts = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => ({
      at: i * 31_000 + 7,
      data: patternBytes(100 + i, 30_000 + i),
    }));
    const wanted: Buffer[] = [];
    const requests: Buffer[] = [];
    for (const { at, data } of parts) {
      const range = { 'Content-Range': `bytes ${at}-*/*` };
      requests.push(requestBytes({ method: 'PUT', path: `${image.url}?flush=n`, headers: range, body: data }));
      requests.push(requestBytes({ path: image.url, headers: { Range: `bytes=${at}-${at + data.length - 1}` } }));
      const zero = { op: 'zero', offset: at + 1, size: 1000 };
      requests.push(requestBytes({ method: 'PATCH', path: image.url, body: json(zero) }));
      requests.push(requestBytes({ path: image.url, headers: { Range: `bytes=${at}-${at + 1001}` } }));
      wanted.push(data, Buffer.concat([data.subarray(0, 1), Buffer.alloc(1000), data.subarray(1001, 1002)]));
    }
    const sent = connection.write(Buffer.concat(requests));
    for (const data of wanted) {
      expectEmpty(await connection.response());
      const read = await connection.response();
      expect(read.status).to.equal(206);
      expect(read.body.equals(data)).to.equal(true);
    }
    await sent;
    const whole = await image.read();
    expect(whole.subarray(0, 7).equals(Buffer.alloc(7))).to.equal(true);
  });

  it('answers pipelined requests of several images and kinds in their order', async () => {
    const images = await Promise.all([1, 2, 3].map((i) => plane.image(patternBytes(i, 100 * i), { ops: ['read'] })));
    await using connection = await plane.connect();
    const paths = images.flatMap(({ url }) => [url, '/info/', `${url}/extents`]);
    await connection.write(Buffer.concat(paths.map((path) => requestBytes({ path }))));
    for (const i of [1, 2, 3]) {
      expect((await connection.response()).body.equals(patternBytes(i, 100 * i))).to.equal(true);
      expect(expectJson(await connection.response())).to.have.all.keys('version');
      expect(expectJson(await connection.response())).to.be.an('array');
    }
  });

  it('reads a request that comes a byte at a time', async () => {
    const image = await plane.image(Buffer.alloc(512));
    await using connection = await plane.connect();
    for (const byte of requestBytes({ method: 'PUT', path: image.url, body: 'hello' })) {
      await connection.write(Buffer.from([byte]));
    }
    expectEmpty(await connection.response());
    expect((await image.read()).toString('latin1', 0, 6)).to.equal('hello\0');
  });

  it('asks for a body that waits to be asked for, before it has come', async () => {
    const image = await plane.image(Buffer.alloc(1 * MiB));
    const body = patternBytes(7, 1 * MiB);
    await using connection = await plane.connect();
    const headers = { Expect: '100-continue', 'Content-Length': String(body.length) };
    await connection.write(requestBytes({ method: 'PUT', path: image.url, headers }));
    expect((await connection.head()).status).to.equal(100);
    await connection.write(body);
    expectEmpty(await connection.response());
    expect((await image.read()).equals(body)).to.equal(true);
    const patch = json({ op: 'zero', size: 10 });
    const patched = { Expect: '100-continue', 'Content-Length': String(patch.length) };
    await connection.write(requestBytes({ method: 'PATCH', path: image.url, headers: patched }));
    expect((await connection.head()).status).to.equal(100);
    await connection.write(patch);
    expectEmpty(await connection.response());
  });

  it('refuses a request whose body waits to be asked for, without the body', async () => {
    await using connection = await plane.connect();
    const headers = { Expect: '100-continue', 'Content-Length': String(64 * MiB) };
    await connection.write(requestBytes({ method: 'PUT', path: '/images/unknown', headers }));
    await expectForbidden(connection, await connection.response());
  });

  for (const method of ['PUT', 'GET']) {
    it(`closes after ${method} with close=y, and not with close=n`, async () => {
      const { url } = await plane.image(patternBytes(1, 1000));
      await using connection = await plane.connect();
      const body = method === 'PUT' ? { body: 'hello' } : {};
      const kept = await connection.request({ method, path: `${url}?close=n`, ...body });
      expect(kept.status).to.equal(200);
      const last = await connection.request({ method, path: `${url}?close=y`, ...body });
      expect(last.status).to.equal(200);
      expect(last.body.length).to.equal(method === 'PUT' ? 0 : 1000);
      await expectClosing(connection, last);
    });
  }

  it('closes after the answer when the client asks for it', async () => {
    const { url } = await plane.image(patternBytes(1, 1000));
    await using connection = await plane.connect();
    const answer = await connection.request({ path: url, headers: { Connection: 'close' } });
    expect(answer.body.length).to.equal(1000);
    await connection.closed();
  });

  it('answers a client that has nothing more to say', async () => {
    const { url } = await plane.image(patternBytes(1, 3 * MiB));
    await using connection = await plane.connect();
    await connection.write(requestBytes({ path: url }));
    connection.end();
    expect((await connection.response()).body.equals(patternBytes(1, 3 * MiB))).to.equal(true);
    await connection.closed();
  });

  for (const [what, fields, path, status] of [
    ['an unknown ticket', {}, () => '/images/unknown', 403],
    ['a ticket for reading', { ops: ['read'] }, (url: string) => url, 403],
    ['a bad query', {}, (url: string) => `${url}?flush=maybe`, 400],
    ['an image that is too small', {}, (url: string) => url, 416],
    ['an unknown path', {}, () => '/nothing', 404],
    ['a path that cannot be put', {}, () => '/info/', 405],
  ] as const) {
    it(`lets a client read the refusal (${what}) though it was not done sending`, async () => {
      const { url } = await plane.image(Buffer.alloc(512), fields);
      await using connection = await plane.connect();
      const body = Buffer.alloc(32 * MiB, 'x');
      const answer = await connection.request({ method: 'PUT', path: path(url), body });
      expectError(answer, status);
      expect(answer.header('connection')?.toLowerCase()).to.equal('close');
      await connection.closed();
    });
  }

  it('lets a client read the refusal that reads only when it has sent all', async () => {
    await using connection = await plane.connect();
    connection.pause();
    await connection.write(requestBytes({ method: 'PUT', path: '/images/unknown', body: Buffer.alloc(8 * MiB, 'x') }));
    connection.resume();
    expectError(await connection.response(), 403);
  });
});
