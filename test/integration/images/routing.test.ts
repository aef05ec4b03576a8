/** Which paths and methods each service knows, how paths are read, and what it says to those that it does not know. */
import { expect } from 'chai';
import { DataPlane, type Transport } from '../../helpers/data-plane.js';
import { requestBytes } from '../../helpers/raw-http.js';
import { expectEmpty, expectError, expectJson } from './expectations.js';

describe('the routes of the data plane', function () {
  this.timeout(30_000);
  let plane: DataPlane;
  before(async () => {
    plane = await DataPlane.shared();
  });

  const unknown: [Transport, string][] = [
    ['remote', '/'],
    ['remote', '/nothing'],
    ['remote', '/info/more'],
    ['remote', '/imagesx/*'],
    ['remote', '/tickets/x'],
    ['local', '/info/'],
    ['local', '/tickets/x'],
    ['control', '/images/*'],
    ['control', '/info/'],
    ['control', '/'],
  ];
  for (const [service, path] of unknown) {
    it(`answers 404 for ${path} on the ${service} service`, async () => {
      expectError(await plane.request({ path }, service), 404);
    });
  }

  for (const method of ['FOO', 'get', 'POST', 'DELETE', 'TRACE', 'PROPFIND', 'M-SEARCH']) {
    it(`answers 405 to ${method} on an image`, async () => {
      const { url } = await plane.image(Buffer.alloc(512));
      expectError(await plane.request({ method, path: url }), 405);
    });
  }

  for (const [method, path] of [
    ['PUT', '/info/'],
    ['FOO', '/info/'],
    ['OPTIONS', '/info/'],
    ['PUT', '/images/x/extents'],
    ['POST', '/images/x/extents'],
    ['PATCH', '/images/x/checksum'],
    ['DELETE', '/images/x/checksum'],
    ['PUT', '/images/x/checksum/algorithms'],
  ] as const) {
    it(`answers 405 to ${method} ${path}`, async () => {
      expectError(await plane.request({ method, path }), 405);
    });
  }

  for (const method of ['POST', 'OPTIONS', 'FOO']) {
    it(`answers 405 to ${method} on a ticket`, async () => {
      expectError(await plane.control(method, '/tickets/x'), 405);
    });
  }

  for (const suffix of ['', '/extents', '/checksum']) {
    it(`answers 405 to HEAD on an image${suffix}, without a body`, async () => {
      const { url } = await plane.image(Buffer.alloc(512), { ops: ['read'] });
      await using connection = await plane.connect();
      const answer = await connection.request({ method: 'HEAD', path: url + suffix });
      expect(answer.status).to.equal(405);
      // The next answer begins right behind the headers.
      if (answer.header('connection') !== 'close') {
        expect((await connection.request({ path: url })).status).to.equal(200);
      }
    });
  }

  it('knows methods that it refuses with a body, and reads the answer of the next request', async () => {
    await using connection = await plane.connect();
    const answer = await connection.request({ method: 'POST', path: '/images/x', body: 'x'.repeat(1000) });
    expectError(answer, 405);
    if (answer.header('connection') !== 'close')
      expect((await connection.request({ path: '/info/' })).status).to.equal(200);
  });

  for (const method of ['GET', 'PUT', 'PATCH', 'OPTIONS']) {
    it(`answers 400 to ${method} on an image without an id`, async () => {
      expectError(await plane.request({ method, path: '/images/', body: '{"op":"flush"}' }), 400);
    });
  }

  it('reads percent-encoded paths', async () => {
    expectJson(await plane.request({ method: 'OPTIONS', path: '/images/%2A' }));
    expectJson(await plane.request({ path: '/%69nfo%2F' }));
    const uuid = 'a name with blanks ü';
    const { url } = await plane.image(Buffer.from('hello'), { uuid, ops: ['read'] });
    expect((await plane.request({ path: encodeURI(url) })).text()).to.equal('hello');
    expect((await plane.ticketInfo(encodeURIComponent(uuid))).uuid).to.equal(uuid);
  });

  it('refuses a path that is wrongly percent-encoded', async () => {
    const { status } = await plane.request({ path: '/images/%zz' });
    expect(status).to.be.within(400, 404);
  });

  it('takes the last of a repeated query key', async () => {
    const { url } = await plane.image(Buffer.alloc(512));
    const put = (query: string) => plane.request({ method: 'PUT', path: `${url}?${query}`, body: 'x' });
    expectEmpty(await put('flush=nonsense&flush=n'));
    expectError(await put('flush=n&flush=nonsense'), 400);
  });

  it('ignores query keys that it does not know', async () => {
    const { url } = await plane.image(Buffer.alloc(512));
    expectEmpty(await plane.request({ method: 'PUT', path: `${url}?color=red&flush=n`, body: 'x' }));
  });

  it('takes a request line of 4,096 bytes', async () => {
    const line = (path: string) => `GET ${path} HTTP/1.1\r\n`;
    const path = `/info/?${'x'.repeat(4096 - line('/info/?').length)}`;
    expect(line(path).length).to.equal(4096);
    expectJson(await plane.request({ path }));
  });

  for (const length of [5000, 60_000]) {
    it(`answers 414 to a request line of ${length} bytes, and closes`, async () => {
      await using connection = await plane.connect();
      expectError(await connection.request({ path: `/images/${'x'.repeat(length)}` }), 414);
      await connection.closed();
    });
  }

  it('answers 414 to a request line that does not end', async () => {
    await using connection = await plane.connect();
    const sent = connection.write(`GET /images/${'x'.repeat(100_000)}`);
    expectError(await connection.response(), 414);
    await connection.closed();
    await sent;
  });

  it('answers 414 to a long request line behind a good request', async () => {
    await using connection = await plane.connect();
    const long = requestBytes({ path: `/info/?${'x'.repeat(5000)}` });
    await connection.write(Buffer.concat([requestBytes({ path: '/info/' }), long]));
    expectJson(await connection.response());
    expectError(await connection.response(), 414);
    await connection.closed();
  });
});
