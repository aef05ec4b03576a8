/** PUT: where a body goes, what is durable when it is answered, and what is refused before a byte is written. */
import { stat } from 'node:fs/promises';
import { expect } from 'chai';
import { patternBytes } from '../../helpers/bytes.js';
import { DataPlane, type TestImage } from '../../helpers/data-plane.js';
import { needsCommands } from '../../helpers/needs.js';
import { type RawResponse, requestBytes } from '../../helpers/raw-http.js';
import { traceCalls } from '../../helpers/traced-calls.js';
import { until } from '../cli/programs.js';
import { expectEmpty, expectError, json } from './expectations.js';

const MiB = 1024 * 1024;
const SIZE = 100_000;

describe('PUT /images/{id}', function () {
  this.timeout(30_000);
  let plane: DataPlane;
  before(async () => {
    plane = await DataPlane.shared();
  });

  const put = (
    image: { url: string },
    body: Buffer | string,
    range?: string,
    query = 'flush=n',
  ): Promise<RawResponse> => {
    const headers: Record<string, string> = range === undefined ? {} : { 'Content-Range': range };
    return plane.request({ method: 'PUT', path: `${image.url}?${query}`, headers, body });
  };
  const old = patternBytes(9, SIZE);
  const oldImage = (fields = {}): Promise<TestImage> => plane.image(old, fields);

  /** The image is as it was but for `data` at `start`. */
  async function expectWritten(image: TestImage, start: number, data: Buffer): Promise<void> {
    const wanted = Buffer.from(old);
    data.copy(wanted, start);
    expect((await image.read()).equals(wanted), 'the image holds what it should').to.equal(true);
  }

  for (const [start, length] of [
    [0, SIZE],
    [0, 1],
    [1, 1],
    [511, 2],
    [512, 512],
    [4095, 4098],
    [4096, 8192],
    [12_345, 54_321],
    [SIZE - 1, 1],
    [SIZE - 513, 513],
  ] as const) {
    it(`writes ${length} bytes at ${start} and nothing beside them`, async () => {
      const image = await oldImage();
      const data = patternBytes(start + 1, length);
      expectEmpty(await put(image, data, `bytes ${start}-${start + length - 1}/${SIZE}`));
      await expectWritten(image, start, data);
    });
  }

  it('writes at the start without a Content-Range', async () => {
    const image = await oldImage();
    expectEmpty(await put(image, 'hello'));
    await expectWritten(image, 0, Buffer.from('hello'));
  });

  it('writes a large body', async () => {
    const image = await plane.image(Buffer.alloc(0), { size: 40 * MiB });
    const data = patternBytes(3, 40 * MiB - 3);
    expectEmpty(await put(image, data, 'bytes 2-*/*', ''));
    expect((await image.read()).subarray(2, 2 + data.length).equals(data)).to.equal(true);
  });

  it('lets a file grow, with zeroes before what is written', async () => {
    const image = await plane.image(Buffer.alloc(0), { size: SIZE });
    expectEmpty(await put(image, 'hello', 'bytes 50001-*/*'));
    const content = await image.read();
    expect(content.subarray(0, 50_001).equals(Buffer.alloc(50_001))).to.equal(true);
    expect(content.toString('latin1', 50_001, 50_006)).to.equal('hello');
    expect(content.length).to.be.at.most(SIZE);
  });

  for (const range of [
    'bytes 10-*/*',
    'bytes 10-14/*',
    `bytes 10-*/${SIZE}`,
    `bytes 10-14/${SIZE}`,
    'bytes 10-14/15',
  ]) {
    it(`takes the Content-Range ${range}`, async () => {
      const image = await oldImage();
      expectEmpty(await put(image, 'hello', range));
      await expectWritten(image, 10, Buffer.from('hello'));
    });
  }

  it('believes Content-Length, not the end in Content-Range', async () => {
    const image = await oldImage();
    expectEmpty(await put(image, 'hello', 'bytes 10-11/*'));
    await expectWritten(image, 10, Buffer.from('hello'));
    expectEmpty(await put(image, 'hello', `bytes 10-${SIZE - 1}/${SIZE}`));
    await expectWritten(image, 10, Buffer.from('hello'));
  });

  for (const range of [
    '',
    '  ',
    'bytes',
    'bytes ',
    'bytes 10',
    'bytes 10-14',
    'bytes=10-14/15',
    'bytes 14-10/15',
    'bytes 10-15/15',
    'bytes a-b/15',
    'bytes -14/15',
    'bytes 10-/15',
    'bytes -1-14/15',
    'bytes 1.5-14/15',
    'bytes 10-14/',
    'bytes 10-14/x',
    'bytes */15',
    'bytes *-14/15',
    '10-14/15',
    'items 10-14/15',
    'bytes 10-14/15, 20-24/25',
  ]) {
    it(`refuses the Content-Range "${range}"`, async () => {
      const image = await oldImage();
      expectError(await put(image, 'hello', range), 400);
      await expectWritten(image, 0, Buffer.alloc(0));
    });
  }

  it('refuses a flush that is neither y nor n', async () => {
    const image = await oldImage();
    for (const flush of ['', 'yes', 'Y', '1', 'true']) {
      expectError(await put(image, 'hello', undefined, `flush=${flush}`), 400);
    }
    await expectWritten(image, 0, Buffer.alloc(0));
    expectEmpty(await put(image, 'hello', undefined, 'flush=y'));
    expectEmpty(await put(image, 'hello', undefined, 'flush=n'));
  });

  it('refuses a body without a length', async () => {
    const image = await oldImage();
    await using connection = await plane.connect();
    await connection.write(`PUT ${image.url} HTTP/1.1\r\nHost: x\r\n\r\n`);
    expectError(await connection.response(), 400);
    await using other = await plane.connect();
    const headers = { 'Transfer-Encoding': 'chunked' };
    await other.write(requestBytes({ method: 'PUT', path: image.url, headers, body: '5\r\nhello\r\n0\r\n\r\n' }));
    expectError(await other.response(), 400);
    await expectWritten(image, 0, Buffer.alloc(0));
  });

  it('checks what was sent before the ticket, and the ticket before the range', async () => {
    const { id, url } = await plane.image(Buffer.alloc(10));
    await plane.control('PATCH', `/tickets/${id}`, { timeout: 0 });
    for (const path of ['/images/unknown', url]) {
      const chunked = { 'Transfer-Encoding': 'chunked' };
      const noLength = { method: 'PUT', path, headers: chunked, body: '5\r\nhello\r\n0\r\n\r\n' };
      expectError(await plane.request(noLength), 400);
      expectError(await put({ url: path }, 'hello', 'bytes'), 400);
      expectError(await put({ url: path }, 'hello', undefined, 'flush=x'), 400);
      expectError(await put({ url: path }, 'hello', 'bytes 100-*/*'), 403);
    }
  });

  for (const [start, length] of [
    [SIZE, 1],
    [SIZE - 4, 5],
    [0, SIZE + 1],
    [SIZE + 100, 5],
    [2 ** 53, 5],
  ] as const) {
    it(`refuses ${length} bytes at ${start} of ${SIZE} with 416, and writes nothing`, async () => {
      const image = await oldImage();
      const answer = await put(image, Buffer.alloc(length, 'x'), `bytes ${start}-*/*`);
      expectError(answer, 416);
      expect(answer.header('content-range')).to.equal(`bytes */${SIZE}`);
      await expectWritten(image, 0, Buffer.alloc(0));
    });
  }

  it('refuses a wild offset', async () => {
    const image = await oldImage();
    for (const first of ['9223372036854775807', '18446744073709551616', '9'.repeat(20)]) {
      expectError(await put(image, 'hello', `bytes ${first}-*/*`), 416);
    }
    const { status } = await put(image, 'hello', `bytes ${'9'.repeat(100)}-*/*`);
    expect(status).to.be.within(400, 416);
    await expectWritten(image, 0, Buffer.alloc(0));
  });

  it('does not write past the ticket in a larger image', async () => {
    const image = await oldImage({ size: 1000 });
    expectError(await put(image, 'hello', 'bytes 996-*/*'), 416);
    expectEmpty(await put(image, 'hello', 'bytes 995-*/*'));
    await expectWritten(image, 995, Buffer.from('hello'));
  });

  it('takes an empty body', async () => {
    const image = await oldImage();
    expectEmpty(await put(image, ''));
    expectEmpty(await put(image, '', 'bytes 10-*/*'));
    expectEmpty(await put(image, '', `bytes ${SIZE}-*/*`, ''));
    await expectWritten(image, 0, Buffer.alloc(0));
    const empty = await plane.image(Buffer.alloc(0), { size: 0 });
    expectEmpty(await put(empty, ''));
    expect((await stat(empty.path)).size).to.equal(0);
  });

  for (const arrived of [0, 1, 4096, 50_000]) {
    it(`answers 400 to a body of which only ${arrived} bytes come, and has written those`, async () => {
      const image = await oldImage();
      const data = patternBytes(5, arrived);
      await using connection = await plane.connect();
      const headers = { 'Content-Length': String(SIZE - 100), 'Content-Range': 'bytes 100-*/*' };
      await connection.write(requestBytes({ method: 'PUT', path: image.url, headers }));
      await connection.write(data);
      connection.end();
      expectError(await connection.response(), 400);
      await expectWritten(image, 100, data);
    });
  }

  it('has written what came of a body whose client is gone', async () => {
    const image = await oldImage();
    const data = patternBytes(5, 50_001);
    const connection = await plane.connect();
    const headers = { 'Content-Length': String(SIZE) };
    await connection.write(requestBytes({ method: 'PUT', path: image.url, headers }));
    await connection.write(data);
    connection.close();
    await until('what came is written', async () => (await image.read()).subarray(0, 50_001).equals(data));
    await until('the operation has ended', async () => {
      const info = await plane.ticketInfo(image.id);
      return info.active === false && info.connections === 0;
    });
    await expectWritten(image, 0, data);
  });

  it('takes what follows a body for the next request', async () => {
    const image = await oldImage();
    await using connection = await plane.connect();
    const longer = requestBytes({
      method: 'PUT',
      path: `${image.url}?flush=n`,
      headers: { 'Content-Length': '5' },
      body: 'hello and more\r\n\r\n',
    });
    await connection.write(longer);
    expectEmpty(await connection.response());
    // " and more" is no request.
    const next = await connection.response();
    expect(next.status).to.be.within(400, 405);
    await expectWritten(image, 0, Buffer.from('hello'));
  });

  const traced = needsCommands('strace');
  const flushes = (image: TestImage) => async (action: () => Promise<RawResponse>) => {
    await using trace = await traceCalls(plane.pid, image.path);
    expectEmpty(await action());
    return (await trace.end()).filter(({ name, succeeded }) => name === 'fdatasync' && succeeded).length;
  };

  traced('flushes unless told not to', async () => {
    const image = await oldImage();
    const count = flushes(image);
    expect(await count(() => put(image, 'hello', undefined, ''))).to.equal(1);
    expect(await count(() => put(image, 'hello', undefined, 'flush=y'))).to.equal(1);
    expect(await count(() => put(image, 'hello', undefined, 'flush=n'))).to.equal(0);
  });

  traced('flushes after PATCH zero only when told to, and always for PATCH flush', async () => {
    const image = await oldImage();
    const patch = (body: object) => plane.request({ method: 'PATCH', path: image.url, body: json(body) });
    const count = flushes(image);
    expect(await count(() => patch({ op: 'zero', size: 10 }))).to.equal(0);
    expect(await count(() => patch({ op: 'zero', size: 10, flush: false }))).to.equal(0);
    expect(await count(() => patch({ op: 'zero', size: 10, flush: true }))).to.equal(1);
    await put(image, 'hello');
    expect(await count(() => patch({ op: 'flush' }))).to.equal(1);
  });
});
