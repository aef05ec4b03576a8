/**
 * Clients that are slow, gone, wrong or many. Each is answered, or its connection closed; meanwhile others are served,
 * and afterwards nothing is left of it: no descriptor, no connection of a ticket, no memory.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { truncate } from 'node:fs/promises';
import { expect } from 'chai';
import { patternBytes } from '../../helpers/bytes.js';
import { DataPlane, type TestImage } from '../../helpers/data-plane.js';
import { type RawConnection, requestBytes } from '../../helpers/raw-http.js';
import { until } from '../cli/programs.js';
import { expectEmpty, expectError, expectJson, json } from './expectations.js';

const KiB = 1024;
const MiB = 1024 * KiB;
const HUGE = 128 * 1024 * MiB;

describe('abuse of the data plane', function () {
  this.timeout(60_000);
  let plane: DataPlane;
  let start: { descriptors: number; memory: number };

  before(async () => {
    // So few buffers that slow clients take them all.
    plane = await DataPlane.start({ env: { FERRY_BUFFER_BYTES: String(16 * MiB) } });
    // Threads, buffers and the modules that are loaded late must not count as a leak.
    const image = await plane.image(Buffer.alloc(0), { size: 32 * MiB });
    const connections = await many(20);
    await Promise.all(
      connections.map((each) => each.request({ method: 'PUT', path: image.url, body: Buffer.alloc(16 * MiB, 'x') })),
    );
    await Promise.all(connections.map((each) => each.request({ path: image.url, headers: { Range: 'bytes=0-99' } })));
    for (const connection of connections) connection.close();
    await until('the image is closed', () => openFilesOf(plane.pid, image.path) === 0);
  });
  after(async () => {
    await plane?.[Symbol.asyncDispose]();
  });

  beforeEach(() => {
    start = { descriptors: openFiles().length, memory: residentBytes() };
  });
  afterEach('nothing is left of it', async () => {
    expectJson(await plane.request({ path: '/info/' }));
    await until(
      `the process has ${start.descriptors} descriptors again`,
      () => openFiles().length <= start.descriptors,
    );
    expect(residentBytes() - start.memory, 'growth of memory').to.be.below(200 * MiB);
    const complaints = plane.service
      .stderr()
      .split('\n')
      .filter((line) => /Warning|MaxListeners|Unhandled|Uncaught/i.test(line) && !line.startsWith('{'));
    expect(complaints).to.deep.equal([]);
  });

  const openFiles = (): string[] => readdirSync(`/proc/${plane.pid}/fd`);
  const residentBytes = (): number =>
    Number(/VmRSS:\s*(\d+) kB/.exec(readFileSync(`/proc/${plane.pid}/status`, 'latin1'))?.[1]) * KiB;

  async function many(count: number): Promise<RawConnection[]> {
    const connections: RawConnection[] = [];
    for (let done = 0; done < count; done += 100) {
      const batch = Array.from({ length: Math.min(100, count - done) }, () => plane.connect());
      connections.push(...(await Promise.all(batch)));
    }
    return connections;
  }

  /** Another client, who must not notice anything. */
  async function serves(): Promise<void> {
    const image = await plane.image(Buffer.alloc(0), { size: 3 * MiB });
    await using connection = await plane.connect();
    const data = patternBytes(1, 3 * MiB);
    expectEmpty(await connection.request({ method: 'PUT', path: `${image.url}?flush=n`, body: data }));
    expect((await connection.request({ path: image.url })).body.equals(data)).to.equal(true);
  }

  async function unused(...images: TestImage[]): Promise<void> {
    for (const { id } of images) {
      await until('the ticket is not in use', async () => {
        const info = await plane.ticketInfo(id);
        return info.connections === 0 && info.active === false;
      });
    }
  }

  /** Of which nothing is there. */
  async function hugeImage(): Promise<TestImage> {
    const image = await plane.image(Buffer.alloc(0));
    await truncate(image.path, HUGE);
    return await plane.imageAt(image.path, { size: HUGE, ops: ['read'] });
  }

  const putHead = (image: TestImage, length: number, start = 0) =>
    requestBytes({
      method: 'PUT',
      path: `${image.url}?flush=n`,
      headers: { 'Content-Length': String(length), 'Content-Range': `bytes ${start}-*/*` },
    });

  it('bears 2,000 idle connections', async () => {
    const idle = await many(2000);
    await serves();
    expect(idle.filter((connection) => connection.isClosed).length).to.equal(0);
    expectJson(await (idle[1999] as RawConnection).request({ path: '/info/' }));
    for (const connection of idle) connection.close();
  });

  it('bears 300 connections of one ticket, over and over', async () => {
    const image = await plane.image(patternBytes(1, 10_000));
    for (let round = 0; round < 3; round++) {
      const connections = await many(300);
      const answers = await Promise.all(connections.map((each) => each.request({ path: image.url })));
      expect(answers.every(({ body }) => body.equals(patternBytes(1, 10_000)))).to.equal(true);
      for (const connection of connections) connection.close();
      await unused(image);
    }
  });

  it('bears 100 uploads that begin, and do not go on', async () => {
    const image = await plane.image(Buffer.alloc(0), { size: 100 * MiB });
    const stalled = await many(100);
    await Promise.all(
      stalled.map(async (connection, i) => {
        await connection.write(putHead(image, MiB, i * MiB));
        await connection.write(Buffer.alloc(1000 + i, i));
      }),
    );
    await serves();
    await serves();
    for (const connection of stalled) connection.close();
    await unused(image);
    const content = await image.read();
    for (let i = 0; i < 100; i++) {
      const part = content.subarray(i * MiB, i * MiB + 1000 + i);
      expect(part.equals(Buffer.alloc(1000 + i, i)), `what came of upload ${i}`).to.equal(true);
    }
  });

  it('bears 60 downloads whose clients do not read, and then go away', async () => {
    const image = await plane.image(patternBytes(1, 32 * MiB), { ops: ['read'] });
    const stalled = await many(60);
    for (const connection of stalled) {
      connection.pause();
      await connection.write(requestBytes({ path: image.url }));
    }
    await serves();
    await serves();
    stalled.forEach((connection, i) => {
      if (i % 2 === 0) connection.close();
      else connection.reset();
    });
    await unused(image);
  });

  it('writes many uploads at once that come in tiny pieces', async () => {
    const COUNT = 40;
    const LENGTH = 20_011;
    const image = await plane.image(Buffer.alloc(0), { size: COUNT * LENGTH });
    const data = patternBytes(5, COUNT * LENGTH);
    const uploads = await many(COUNT);
    await Promise.all(uploads.map((each, i) => each.write(putHead(image, LENGTH, i * LENGTH))));
    for (let done = 0; done < LENGTH; done += 97) {
      const part = (i: number) => data.subarray(i * LENGTH + done, i * LENGTH + Math.min(done + 97, LENGTH));
      await Promise.all(uploads.map((each, i) => each.write(part(i))));
    }
    await serves();
    for (const answer of await Promise.all(uploads.map((each) => each.response()))) expectEmpty(answer);
    expect((await image.read()).equals(data)).to.equal(true);
    for (const connection of uploads) connection.close();
    await unused(image);
  });

  it('reads many downloads at once that are taken in tiny pieces', async () => {
    const data = patternBytes(6, 4 * MiB);
    const image = await plane.image(data, { ops: ['read'] });
    const downloads = await many(20);
    await Promise.all(
      downloads.map(async (connection) => {
        connection.socket.setNoDelay(true);
        await connection.write(requestBytes({ path: image.url }));
        await connection.head();
        for (let done = 0; done < data.length; done += 256 * KiB) {
          connection.pause();
          await new Promise((resolve) => setTimeout(resolve, 5));
          connection.resume();
          const part = await connection.take(256 * KiB);
          if (!part.equals(data.subarray(done, done + part.length))) throw new Error(`wrong bytes at ${done}`);
        }
      }),
    );
    for (const connection of downloads) connection.close();
    await unused(image);
  });

  it('lets go of clients that disappear in the middle of whatever they do', async () => {
    const image = await plane.image(patternBytes(1, 8 * MiB));
    const starts = [
      'G',
      'GET /images/',
      `GET ${image.url} HTTP/1.1\r\nHost`,
      requestBytes({ path: image.url }),
      putHead(image, MiB),
      Buffer.concat([putHead(image, MiB), Buffer.alloc(100_000)]),
      Buffer.concat([putHead(image, 4 * MiB), Buffer.alloc(3 * MiB)]),
      requestBytes({ method: 'PATCH', path: image.url, headers: { 'Content-Length': '1000' }, body: '{"op"' }),
      requestBytes({ method: 'PATCH', path: image.url, body: json({ op: 'zero', size: 8 * MiB, flush: true }) }),
      requestBytes({ path: `${image.url}/extents` }),
      requestBytes({ path: `${image.url}/checksum` }),
      Buffer.concat([requestBytes({ path: image.url }), requestBytes({ path: image.url }), putHead(image, 10)]),
    ];
    for (let round = 0; round < 4; round++) {
      for (const [i, begun] of starts.entries()) {
        const connection = await plane.connect(i % 2 === 0 ? 'remote' : 'local');
        await connection.write(begun);
        if (round >= 2) await new Promise((resolve) => setTimeout(resolve, 20));
        if (round % 2 === 0) connection.close();
        else connection.reset();
      }
    }
    await serves();
    await unused(image);
    await until('the image is closed', () => openFilesOf(plane.pid, image.path) === 0);
  });

  it('does not take longer bodies than were said for more than a request', async () => {
    const image = await plane.image(Buffer.alloc(100));
    await using connection = await plane.connect();
    const sent = connection.write(Buffer.concat([putHead(image, 10), Buffer.alloc(4 * MiB, 'x')]));
    expectEmpty(await connection.response());
    const next = await connection.response();
    expect(next.status).to.be.within(400, 431);
    await connection.closed();
    await sent;
    connection.close();
    expect((await image.read()).equals(Buffer.alloc(100).fill('x', 0, 10))).to.equal(true);
    await unused(image);
  });

  it('does not believe lengths that no body has', async () => {
    const image = await plane.image(Buffer.alloc(100));
    for (const length of ['1000000000000', '9007199254740993', '18446744073709551615', '99999999999999999999']) {
      await using connection = await plane.connect();
      await connection.write(`PUT ${image.url} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`);
      const answer = await connection.response();
      expectError(answer, answer.status === 400 ? 400 : 416);
    }
    for (const length of ['1000000000000', '18446744073709551615']) {
      const huge = await plane.imageAt(image.path, { size: 2n ** 64n });
      await using connection = await plane.connect();
      await connection.write(`PUT ${huge.url} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\nhello`);
      connection.end();
      const answer = await connection.response();
      expect(answer.status).to.be.within(400, 416);
      await connection.closed();
      await unused(huge);
    }
    expect((await image.read()).length).to.equal(100);
  });

  it('fails where no file can be so large, and serves on', async () => {
    const image = await plane.image(Buffer.alloc(100), { size: 2n ** 64n });
    for (const offset of [2n ** 53n - 1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]) {
      await using connection = await plane.connect();
      const headers = { 'Content-Range': `bytes ${offset}-*/*` };
      const put = await connection.request({ method: 'PUT', path: image.url, headers, body: 'x' });
      expectError(put, put.status === 416 ? 416 : 500);
      const body = `{"op":"zero","offset":${offset},"size":1}`;
      const zero = await plane.request({ method: 'PATCH', path: image.url, body });
      expectError(zero, zero.status === 416 ? 416 : 500);
    }
    expectError(await plane.request({ path: image.url, headers: { Range: `bytes=${2n ** 63n}-` } }), 416);
    expect((await image.read()).equals(Buffer.alloc(100))).to.equal(true);
    await unused(image);
  });

  it('refuses huge headers, many at once', async () => {
    const connections = await many(50);
    await Promise.all(
      connections.map(async (connection, i) => {
        const headers = { [`X-${i}`]: 'x'.repeat(i % 2 === 0 ? 100_000 : 5 * MiB) };
        const sent = connection.write(requestBytes({ path: '/info/', headers }));
        const answer = await connection.response();
        expectError(answer, answer.status);
        expect(answer.status).to.be.within(400, 431);
        await connection.closed();
        await sent;
      }),
    );
  });

  it('bears clients that ask much at once, and read nothing or must wait', async () => {
    const image = await plane.image(patternBytes(1, 32 * MiB), { ops: ['read'] });
    const huge = await hugeImage();
    for (const first of [image.url, `${huge.url}/checksum`]) {
      await using connection = await plane.connect();
      connection.pause();
      const later = requestBytes({ path: '/info/' });
      // It may come to a halt: more than the server wants to remember is left to the kernel.
      const sent = connection.write(Buffer.concat([requestBytes({ path: first }), ...Array(100_000).fill(later)]));
      await Promise.race([sent, new Promise((resolve) => setTimeout(resolve, 700))]);
      await serves();
      expect(residentBytes() - start.memory, 'growth of memory').to.be.below(150 * MiB);
      connection.close();
      await sent;
    }
    await unused(image, huge);
  });

  it('answers a client that asks much at once, all of it', async () => {
    await using connection = await plane.connect();
    const COUNT = 3000;
    const sent = connection.write(Buffer.concat(Array(COUNT).fill(requestBytes({ path: '/info/' }))));
    for (let i = 0; i < COUNT; i++) expect((await connection.response()).status).to.equal(200);
    await sent;
  });

  it('stops an upload whose ticket is removed, and not one whose ticket expires, in the middle', async () => {
    const [removed, expired] = [
      await plane.image(Buffer.alloc(0), { size: 32 * MiB }),
      await plane.image(Buffer.alloc(0), { size: 32 * MiB }),
    ];
    await using first = await plane.connect();
    await using second = await plane.connect();
    for (const [connection, image] of [
      [first, removed],
      [second, expired],
    ] as const) {
      await connection.write(putHead(image, 32 * MiB));
      await connection.write(Buffer.alloc(MiB, 'a'));
      await until('the upload runs', async () => (await plane.ticketInfo(image.id)).active === true);
    }
    await plane.control('PATCH', `/tickets/${expired.id}`, { timeout: 0 });
    const removing = plane.control('DELETE', `/tickets/${removed.id}`);
    const sent = first.write(Buffer.alloc(31 * MiB, 'b'));
    expectError(await first.response(), 403);
    await sent;
    expectEmpty(await removing, 204);
    await second.write(Buffer.alloc(31 * MiB, 'b'));
    expectEmpty(await second.response());
    expect((await expired.read()).equals(Buffer.alloc(32 * MiB, 'b').fill('a', 0, MiB))).to.equal(true);
  });

  it('answers for an image that is huge and empty, and others meanwhile', async () => {
    const huge = await hugeImage();
    await using first = await plane.connect();
    await using second = await plane.connect();
    const checksum = first.request({ path: `${huge.url}/checksum?block_size=${4 * MiB}` });
    const extents = second.request({ path: `${huge.url}/extents` });
    await serves();
    expect(expectJson(await extents)).to.have.length(1);
    expect(expectJson(await checksum)).to.include({ algorithm: 'blake2b' });
    first.close();
    second.close();
    await unused(huge);
  });

  it('survives random bytes', async () => {
    for (let i = 0; i < 100; i++) {
      const connection = await plane.connect(i % 2 === 0 ? 'remote' : 'local');
      await connection.write(patternBytes(i, 1 + ((i * 37) % 3000)));
      connection.close();
    }
    await serves();
  });
});

function openFilesOf(pid: number, path: string): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => linkOf(`/proc/${pid}/fd/${fd}`) === path).length;
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
