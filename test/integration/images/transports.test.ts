/** The same protocol on every transport, and what each is besides: versions of TLS, addresses, modes of sockets. */
import { readFile, stat } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { expect } from 'chai';
import { patternBytes } from '../../helpers/bytes.js';
import { DataPlane, type Transport } from '../../helpers/data-plane.js';
import { needs } from '../../helpers/needs.js';
import { RawConnection, requestBytes } from '../../helpers/raw-http.js';
import { expectEmpty, expectError, expectForbidden, expectJson, json } from './expectations.js';

const MiB = 1024 * 1024;
const ABSTRACT = `ferry-test-${process.pid}`;
const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));
const ownAddress = Object.values(networkInterfaces())
  .flat()
  .find((each) => each?.family === 'IPv4' && !each.internal)?.address;

describe('the transports of the data plane', function () {
  this.timeout(30_000);
  let plain: DataPlane;
  let secure: DataPlane;
  before(async () => {
    plain = await DataPlane.shared();
    secure = await DataPlane.start({
      tls: true,
      env: { FERRY_LOCAL_SOCKET: `@${ABSTRACT}`, FERRY_CONTROL_SOCKET: 'off', FERRY_CONTROL_PORT: '0' },
    });
  });
  after(async () => {
    await secure?.[Symbol.asyncDispose]();
  });

  const transports: [string, () => DataPlane, Transport][] = [
    ['plain HTTP', () => plain, 'remote'],
    ['TLS', () => secure, 'remote'],
    ['a unix socket', () => plain, 'local'],
    ['an abstract unix socket', () => secure, 'local'],
  ];
  for (const [name, planeOf, transport] of transports) {
    describe(`over ${name}`, () => {
      const connect = () => planeOf().connect(transport);

      it('an image is uploaded, zeroed, flushed, checked and read back on one connection', async () => {
        const size = 5 * MiB + 123;
        const image = await planeOf().image(Buffer.alloc(0), { size, ops: ['read', 'write'] });
        const data = patternBytes(1, size);
        await using connection = await connect();
        const { url: path } = image;
        expect((await connection.request({ method: 'OPTIONS', path })).header('allow')).to.equal(
          'OPTIONS,GET,PUT,PATCH',
        );
        const half = 2 * MiB + 7;
        for (const [start, end] of [
          [0, half],
          [half, size],
        ] as const) {
          const headers = { 'Content-Range': `bytes ${start}-${end - 1}/${size}` };
          const body = data.subarray(start, end);
          expectEmpty(await connection.request({ method: 'PUT', path: `${path}?flush=n`, headers, body }));
        }
        const zero = json({ op: 'zero', offset: 1001, size: MiB });
        expectEmpty(await connection.request({ method: 'PATCH', path, body: zero }));
        expectEmpty(await connection.request({ method: 'PATCH', path, body: json({ op: 'flush' }) }));
        data.fill(0, 1001, 1001 + MiB);
        expect((await connection.request({ path })).body.equals(data)).to.equal(true);
        const some = await connection.request({ path, headers: { Range: 'bytes=1000-2000' } });
        expect(some.status).to.equal(206);
        expect(some.body.equals(data.subarray(1000, 2001))).to.equal(true);
        expect(expectJson(await connection.request({ path: `${path}/extents` }))).to.be.an('array');
        expect(expectJson(await connection.request({ path: `${path}/checksum` }))).to.include({ algorithm: 'blake2b' });
        expect((await image.read()).equals(data)).to.equal(true);
      });

      it('pipelined requests are answered in their order', async () => {
        const { url: path } = await planeOf().image(Buffer.alloc(MiB));
        await using connection = await connect();
        const data = patternBytes(2, MiB);
        const sent = connection.write(
          Buffer.concat([
            requestBytes({ method: 'PUT', path: `${path}?flush=n`, body: data }),
            requestBytes({ path }),
            requestBytes({ method: 'PATCH', path, body: json({ op: 'zero', size: 1 }) }),
            requestBytes({ path, headers: { Range: 'bytes=0-1' } }),
          ]),
        );
        expectEmpty(await connection.response());
        expect((await connection.response()).body.equals(data)).to.equal(true);
        expectEmpty(await connection.response());
        expect((await connection.response()).body.equals(Buffer.from([0, data[1] as number]))).to.equal(true);
        await sent;
      });

      it('a body is asked for', async () => {
        const image = await planeOf().image(Buffer.alloc(5));
        await using connection = await connect();
        const headers = { Expect: '100-continue', 'Content-Length': '5' };
        await connection.write(requestBytes({ method: 'PUT', path: image.url, headers }));
        expect((await connection.head()).status).to.equal(100);
        await connection.write('hello');
        expectEmpty(await connection.response());
        expect((await image.read()).toString()).to.equal('hello');
      });

      it('a refusal is readable while a large body is on its way, and the connection closes', async () => {
        for (let i = 0; i < 5; i++) {
          await using connection = await connect();
          const body = Buffer.alloc(16 * MiB, 'x');
          const answer = await connection.request({ method: 'PUT', path: '/images/unknown', body });
          await expectForbidden(connection, answer);
        }
      });

      it('requests that are none are refused', async () => {
        await using connection = await connect();
        await connection.write('GET /info/ NONSENSE\r\n\r\n');
        expectError(await connection.response(), 400);
        await connection.closed();
        await using other = await connect();
        expectError(await other.request({ method: 'FOO', path: '/images/*' }), 405);
      });
    });
  }

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    it(`takes ${version}`, async () => {
      const address = secure.remoteAddress({ minVersion: version, maxVersion: version });
      await using connection = await RawConnection.open(address);
      expectJson(await connection.request({ path: '/info/' }));
    });
  }

  for (const version of ['TLSv1', 'TLSv1.1'] as const) {
    it(`refuses ${version}`, async () => {
      // Without this a client of today does not even offer it.
      const old = { minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' };
      const refused = await RawConnection.open(secure.remoteAddress(old)).then(
        () => undefined,
        (error: NodeJS.ErrnoException) => error.code,
      );
      expect(refused).to.match(/ALERT_PROTOCOL_VERSION|ECONNRESET/);
    });
  }

  it('does not speak plain HTTP where TLS is due, and goes on', async () => {
    const { host, port } = secure.remoteAddress() as { host: string; port: number };
    await using connection = await RawConnection.open({ host, port });
    await connection.write(requestBytes({ path: '/info/' }));
    await connection.closed();
    expectJson(await secure.request({ path: '/info/' }));
  });

  needs(hasIpv6, 'IPv6')('listens on IPv4 and IPv6', async () => {
    const { port } = plain.remoteAddress() as { port: number };
    for (const host of ['127.0.0.1', '::1']) {
      await using connection = await RawConnection.open({ host, port });
      expectJson(await connection.request({ path: '/info/' }));
    }
  });

  it('keeps the socket of the control service to its owner and group', async () => {
    const { mode } = await stat(plain.service.ready.control?.socket as string);
    expect((mode & 0o777).toString(8)).to.equal('660');
  });

  it('has an abstract name exactly as configured, and tells it to clients', async () => {
    const names = (await readFile('/proc/net/unix', 'latin1')).split('\n').map((line) => line.split(' ').at(-1));
    expect(names).to.include(`@${ABSTRACT}`);
    const options = expectJson(await secure.request({ method: 'OPTIONS', path: '/images/*' }));
    expect(options).to.include({ unix_socket: `\0${ABSTRACT}` });
  });

  it('serves control over TCP too', async () => {
    expect(secure.service.ready.control?.port).to.be.above(0);
    const { id } = await secure.image(Buffer.alloc(512));
    expect(await secure.ticketInfo(id)).to.include({ size: 512 });
  });

  needs(ownAddress !== undefined, 'a network')('serves control over TCP on loopback only', async () => {
    const port = Number(secure.service.ready.control?.port);
    const refused = await RawConnection.open({ host: String(ownAddress), port }).then(
      () => undefined,
      (error: NodeJS.ErrnoException) => error.code,
    );
    expect(refused).to.equal('ECONNREFUSED');
  });

  it('tells its version, and nothing else', async () => {
    const info = expectJson(await plain.request({ path: '/info/' })) as { version: string };
    expect(info).to.have.all.keys('version');
    expect(info.version).to.match(/^\d+\.\d+/);
  });
});
