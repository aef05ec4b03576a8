/** Requests that are no HTTP, or break its rules: they are refused in plain text, and nobody else notices. */
import { expect } from 'chai';
import { DataPlane } from '../../helpers/data-plane.js';
import { expectError, expectJson } from './expectations.js';

describe('malformed requests', function () {
  this.timeout(30_000);
  let plane: DataPlane;
  before(async () => {
    plane = await DataPlane.shared();
  });
  afterEach('the service answers others', async () => {
    expectJson(await plane.request({ path: '/info/' }));
  });

  const malformed: [string, string | Buffer][] = [
    ['bytes that are no text', Buffer.from([0, 1, 2, 3, 0x0d, 0x0a, 0x0d, 0x0a])],
    ['a TLS greeting', Buffer.from('16030100c8010000c403035f', 'hex')],
    ['a line of one word', 'GET\r\n\r\n'],
    ['another protocol', 'GET /info/ FTP/1.1\r\n\r\n'],
    ['a version that is none', 'GET /info/ HTTP/one\r\n\r\n'],
    ['a header without a colon', 'GET /info/ HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n'],
    ['a header with a blank in its name', 'GET /info/ HTTP/1.1\r\nHost: x\r\nX Y: z\r\n\r\n'],
    ['a header with a NUL', 'GET /info/ HTTP/1.1\r\nHost: x\r\nX: \0\r\n\r\n'],
    [
      'two lengths that differ',
      'PUT /images/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx',
    ],
    [
      'a length and chunks',
      'PUT /images/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n',
    ],
  ];
  for (const [what, sent] of malformed) {
    it(`refuses ${what}, and closes`, async () => {
      await using connection = await plane.connect();
      await connection.write(sent);
      const answer = await connection.response();
      // What does not begin with a method that anybody knows may be taken for an unknown one.
      expectError(answer, answer.status === 405 ? 405 : 400);
      await connection.closed();
    });
  }

  for (const length of ['abc', '-1', '1.5', '0x10', '1 1', '']) {
    for (const method of ['PUT', 'PATCH']) {
      it(`answers 400 to ${method} with a Content-Length of "${length}"`, async () => {
        const { url } = await plane.image(Buffer.alloc(512));
        await using connection = await plane.connect();
        await connection.write(`${method} ${url} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`);
        expectError(await connection.response(), 400);
      });
    }
  }

  it('refuses headers of 1 MiB, and closes', async () => {
    await using connection = await plane.connect();
    const sent = connection.write(`GET /info/ HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(1024 * 1024)}\r\n\r\n`);
    const answer = await connection.response();
    expect(answer.status).to.be.within(400, 431);
    expectError(answer, answer.status);
    await connection.closed();
    await sent;
  });

  it('closes a connection whose request never ends when the client stops', async () => {
    await using connection = await plane.connect();
    await connection.write('GET /info/ HTTP/1.1\r\nHost:');
    connection.end();
    await connection.closed();
  });
});
