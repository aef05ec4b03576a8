/** Tickets as the control service takes and tells them: fields, validation, extending, and what their use shows. */
import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { patternBytes } from '../../helpers/bytes.js';
import { DataPlane } from '../../helpers/data-plane.js';
import { type RawConnection, requestBytes } from '../../helpers/raw-http.js';
import { until } from '../cli/programs.js';
import { expectEmpty, expectError, expectJson, json } from './expectations.js';

const MiB = 1024 * 1024;

const KEYS = [
  'active',
  'canceled',
  'connections',
  'expires',
  'idle_time',
  'inactivity_timeout',
  'ops',
  'size',
  'sparse',
  'dirty',
  'timeout',
  'url',
  'uuid',
  'transfer_id',
];

describe('/tickets/{id}', function () {
  this.timeout(30_000);
  let plane: DataPlane;
  before(async () => {
    plane = await DataPlane.shared();
  });

  const valid = () => ({
    uuid: randomUUID() as unknown,
    size: 1024 as unknown,
    ops: ['read', 'write'] as unknown,
    timeout: 300 as unknown,
    url: `file://${plane.storage}/image` as unknown,
  });
  const put = (ticket: object) => plane.control('PUT', `/tickets/${(ticket as { uuid: string }).uuid}`, ticket);

  describe('PUT and GET', () => {
    it('tells exactly the known keys, with their defaults', async () => {
      const ticket = valid();
      const answer = await put(ticket);
      expect(answer.status).to.equal(200);
      const info = expectJson(await plane.control('GET', `/tickets/${ticket.uuid}`)) as Record<string, unknown>;
      expect(info).to.have.all.keys(KEYS);
      const { expires, idle_time, ...rest } = info;
      expect(expires).to.satisfy(Number.isSafeInteger);
      expect(idle_time).to.satisfy(Number.isSafeInteger);
      expect(rest).to.deep.equal({
        ...ticket,
        active: false,
        canceled: false,
        connections: 0,
        inactivity_timeout: 60,
        sparse: false,
        dirty: false,
        transfer_id: `(ticket/${(ticket.uuid as string).slice(0, 18)})`,
      });
    });

    it('tells what was given', async () => {
      const given = {
        ...valid(),
        inactivity_timeout: 17,
        transfer_id: 'transfer 1',
        filename: 'disk ü.img',
        sparse: true,
        dirty: true,
      };
      await put(given);
      const info = await plane.ticketInfo(given.uuid as string);
      expect(info).to.include({
        inactivity_timeout: 17,
        transfer_id: 'transfer 1',
        filename: 'disk ü.img',
        sparse: true,
        dirty: true,
      });
      expect(info).to.have.all.keys([...KEYS, 'filename']);
    });

    for (const size of ['9007199254740993', '18446744073709551615', '18446744073709551616', '0']) {
      it(`keeps a size of ${size} exactly`, async () => {
        const ticket = { ...valid(), size: BigInt(size) };
        expect((await put(ticket)).status).to.equal(200);
        const answer = await plane.control('GET', `/tickets/${ticket.uuid}`);
        expect(/"size": ?(\d+)[,}]/.exec(answer.text())?.[1]).to.equal(size);
        if (size === '0') return;
        // Nor is it rounded where requests are held against it.
        const headers = { 'Content-Range': `bytes ${size}-*/*` };
        const past = await plane.request({ method: 'PUT', path: `/images/${ticket.uuid}`, headers, body: 'x' });
        expectError(past, 416);
        expect(past.header('content-range')).to.equal(`bytes */${size}`);
        const body = `{"op":"zero","offset":${BigInt(size) - 1n},"size":2}`;
        expectError(await plane.request({ method: 'PATCH', path: `/images/${ticket.uuid}`, body }), 416);
      });
    }

    for (const url of [
      'file:///srv/image',
      'nbd:unix:/run/nbd.sock:exportname=sda',
      'nbd:unix:/run/nbd.sock',
      'nbd:localhost:10809:exportname=sda',
      'nbd://localhost/sda',
      'nbd+unix:///sda?socket=/run/nbd.sock',
    ]) {
      it(`takes the url ${url}`, async () => {
        const ticket = { ...valid(), url };
        expect((await put(ticket)).status).to.equal(200);
        expect((await plane.ticketInfo(ticket.uuid as string)).url).to.equal(url);
      });
    }

    it('takes unknown keys, and keeps unknown ops', async () => {
      const ticket = { ...valid(), color: 'red', ops: ['read', 'fly'] };
      expect((await put(ticket)).status).to.equal(200);
      const info = await plane.ticketInfo(ticket.uuid as string);
      expect(info.ops).to.deep.equal(['read', 'fly']);
      expect(info).to.have.all.keys(KEYS);
    });

    it('believes the uuid of the body, not that of the path', async () => {
      const ticket = valid();
      const other = randomUUID();
      expect((await plane.control('PUT', `/tickets/${other}`, ticket)).status).to.equal(200);
      expect((await plane.ticketInfo(ticket.uuid as string)).uuid).to.equal(ticket.uuid);
      expectError(await plane.control('GET', `/tickets/${other}`), 404);
    });

    it('replaces a ticket of the same uuid', async () => {
      const image = await plane.image(patternBytes(1, 1000), { ops: ['read'] });
      await plane.imageAt(image.path, { uuid: image.id, ops: ['read'], size: 500 });
      expect(await plane.ticketInfo(image.id)).to.include({ size: 500 });
      expect((await plane.request({ path: image.url })).body.equals(patternBytes(1, 500))).to.equal(true);
    });

    it('names an unknown ticket', async () => {
      const answer = await plane.control('GET', '/tickets/no-such-ticket');
      expectError(answer, 404);
      expect(answer.text()).to.include('no-such-ticket');
    });

    it('wants an id', async () => {
      expectError(await plane.control('GET', '/tickets/'), 400);
      expectError(await plane.control('PUT', '/tickets/', valid()), 400);
      expectError(await plane.control('PATCH', '/tickets/', { timeout: 1 }), 400);
    });
  });

  describe('PUT refuses', () => {
    const wrong: [string, Record<string, unknown>][] = [
      ...['uuid', 'size', 'ops', 'timeout', 'url'].map(
        (key) => [`a ticket without ${key}`, { [key]: undefined }] as [string, Record<string, unknown>],
      ),
      ...(
        [
          ['uuid', 1],
          ['uuid', null],
          ['size', '1024'],
          ['size', 1.5],
          ['size', null],
          ['ops', 'read'],
          ['ops', null],
          ['timeout', '300'],
          ['timeout', 1.5],
          ['timeout', null],
          ['url', 1],
          ['url', null],
          ['url', ''],
          ['url', 'no url'],
          ['url', 'http://localhost/image'],
          ['url', 'https://localhost/image'],
          ['url', 'ftp:///image'],
          ['inactivity_timeout', '60'],
          ['inactivity_timeout', 0.5],
          ['transfer_id', 1],
          ['filename', 1],
          ['filename', ['x']],
          ['sparse', 'yes'],
          ['sparse', 1],
          ['dirty', 'no'],
        ] as const
      ).map(([key, value]) => [`${key} ${json(value)}`, { [key]: value }] as [string, Record<string, unknown>]),
    ];
    for (const [what, fields] of wrong) {
      it(`${what}, and stores nothing`, async () => {
        const id = randomUUID();
        expectError(await plane.control('PUT', `/tickets/${id}`, { ...valid(), uuid: id, ...fields }), 400);
        expectError(await plane.control('GET', `/tickets/${id}`), 404);
      });
    }

    for (const body of ['', '{', 'ticket', '[]', '"x"', '1', 'null', Buffer.from([0xff, 0xfe]).toString('latin1')]) {
      it(`the body ${json(body)}, and stores nothing`, async () => {
        const id = randomUUID();
        expectError(await plane.control('PUT', `/tickets/${id}`, body), 400);
        expectError(await plane.control('GET', `/tickets/${id}`), 404);
      });
    }

    it('a wrong ticket without losing the one that is there', async () => {
      const ticket = valid();
      await put(ticket);
      expectError(await put({ ...ticket, size: 'large' }), 400);
      expect(await plane.ticketInfo(ticket.uuid as string)).to.include({ size: 1024 });
    });
  });

  describe('PATCH', () => {
    const patch = (id: unknown, body: unknown) => plane.control('PATCH', `/tickets/${id}`, body);
    const expires = async (id: unknown) => Number((await plane.ticketInfo(String(id))).expires);

    it('lets a ticket expire so many seconds from now, and leaves its timeout alone', async () => {
      // The clock moves on between requests: what is set first and last brackets what is set between.
      const [first, long, last] = [valid(), valid(), valid()];
      for (const ticket of [first, long, last]) await put(ticket);
      for (const [ticket, timeout] of [
        [first, 100],
        [long, 1100],
        [last, 100],
      ] as const) {
        expect((await patch(ticket.uuid, { timeout })).status).to.equal(200);
      }
      const end = await expires(long.uuid);
      expect(end).to.be.within((await expires(first.uuid)) + 1000, (await expires(last.uuid)) + 1000);
      expect(await plane.ticketInfo(long.uuid as string)).to.include({ timeout: 300 });
    });

    it('with 0 expires a ticket at once, and more revives it', async () => {
      const image = await plane.image(Buffer.alloc(512));
      await patch(image.id, { timeout: 0 });
      expectError(await plane.request({ path: image.url }), 403);
      expectJson(await plane.control('GET', `/tickets/${image.id}`));
      await patch(image.id, { timeout: 100 });
      expect((await plane.request({ path: image.url })).status).to.equal(200);
    });

    it('ignores other keys', async () => {
      const ticket = valid();
      await put(ticket);
      expect((await patch(ticket.uuid, { timeout: 10, size: 1, ops: [], url: 'x' })).status).to.equal(200);
      expect(await plane.ticketInfo(ticket.uuid as string)).to.deep.include({ size: 1024, ops: ['read', 'write'] });
    });

    for (const body of [
      '',
      '{',
      '[]',
      '1',
      'null',
      '{}',
      ...[-1, 1.5, '1', null, [1]].map((timeout) => json({ timeout })),
    ]) {
      it(`refuses the body ${body === '' ? '(none)' : body}`, async () => {
        const ticket = valid();
        await put(ticket);
        const before = await expires(ticket.uuid);
        expectError(await patch(ticket.uuid, body), 400);
        expect(await expires(ticket.uuid)).to.equal(before);
      });
    }

    it('does not know unknown tickets', async () => {
      expectError(await patch('unknown', { timeout: 1 }), 404);
    });
  });

  describe('in use', () => {
    const write = async (connection: RawConnection, path: string, headers: Record<string, string>, body: string) => {
      expectEmpty(await connection.request({ method: 'PUT', path, headers, body }));
    };

    it('is extended by every completed request', async () => {
      const { id, url } = await plane.image(Buffer.alloc(8192), { timeout: 1000 });
      for (const request of [
        { path: url },
        { path: url, headers: { Range: 'bytes=0-0' } },
        { method: 'PUT', path: url, body: 'x' },
        { method: 'PATCH', path: url, body: json({ op: 'zero', size: 1 }) },
        { method: 'PATCH', path: url, body: json({ op: 'flush' }) },
        { method: 'OPTIONS', path: url },
        { path: `${url}/extents` },
        { path: `${url}/checksum` },
      ]) {
        await plane.control('PATCH', `/tickets/${id}`, { timeout: 10 });
        const before = Number((await plane.ticketInfo(id)).expires);
        expect((await plane.request(request)).status).to.be.within(200, 206);
        // The answer may be with the client before the operation has been booked.
        await until(`${request.method ?? 'GET'} ${request.path} extends the ticket`, async () => {
          return Number((await plane.ticketInfo(id)).expires) >= before + 990;
        });
      }
    });

    it('counts the connections that used it, and are still there', async () => {
      const { id, url } = await plane.image(Buffer.alloc(512));
      const count = async (wanted: number) =>
        await until(`${wanted} connections`, async () => (await plane.ticketInfo(id)).connections === wanted);
      await using first = await plane.connect();
      await using second = await plane.connect('local');
      for (const connection of [first, second, first]) await connection.request({ method: 'OPTIONS', path: url });
      await first.request({ path: url });
      await second.request({ path: url });
      await count(2);
      first.close();
      await count(1);
      second.close();
      await count(0);
    });

    it('counts those that only asked for options, or found no image, as long as they are there', async () => {
      const { id, url } = await plane.imageAt(`${plane.storage}/missing`, { size: 512 });
      const count = async (wanted: number) =>
        await until(`${wanted} connections`, async () => (await plane.ticketInfo(id)).connections === wanted);
      await using connection = await plane.connect();
      expectJson(await connection.request({ method: 'OPTIONS', path: url }));
      await count(1);
      connection.close();
      await count(0);
      await using failing = await plane.connect();
      expectError(await failing.request({ path: url }), 500);
      failing.close();
      await count(0);
    });

    it('is active, and not idle, while an operation runs', async () => {
      const busy = await plane.image(Buffer.alloc(512));
      const idle = await plane.image(Buffer.alloc(512));
      await using connection = await plane.connect();
      await connection.write(requestBytes({ method: 'PUT', path: busy.url, body: 'hello' }).subarray(0, -1));
      await until('the operation runs', async () => (await plane.ticketInfo(busy.id)).active === true);
      await until('another ticket is idle', async () => Number((await plane.ticketInfo(idle.id)).idle_time) >= 2);
      expect(await plane.ticketInfo(busy.id)).to.include({ active: true, idle_time: 0 });
      await connection.write('o');
      expectEmpty(await connection.response());
      await until('the operation has ended', async () => (await plane.ticketInfo(busy.id)).active === false);

      // PATCH is no access; a request is one.
      await plane.control('PATCH', `/tickets/${idle.id}`, { timeout: 50 });
      expect((await plane.ticketInfo(idle.id)).idle_time).to.be.at.least(2);
      await plane.request({ path: idle.url });
      await until('it is idle no more', async () => Number((await plane.ticketInfo(idle.id)).idle_time) < 2);
    });

    it('tells bytes of distinct ranges when it has at most one op', async () => {
      const image = await plane.image(Buffer.alloc(10_000));
      const transferred = async (id: string, wanted: number) =>
        await until(`${wanted} bytes transferred`, async () => (await plane.ticketInfo(id)).transferred === wanted);
      await using connection = await plane.connect();

      await transferred(image.id, 0);
      await write(connection, image.url, { 'Content-Range': 'bytes 100-*/*' }, 'x'.repeat(100));
      await write(connection, image.url, { 'Content-Range': 'bytes 150-*/*' }, 'x'.repeat(100));
      await write(connection, image.url, { 'Content-Range': 'bytes 5000-*/*' }, 'x'.repeat(10));
      await transferred(image.id, 160);

      const read = await plane.imageAt(image.path, { ops: ['read'], size: 10_000 });
      for (const range of ['bytes=0-99', 'bytes=0-99', 'bytes=99-199']) {
        await connection.request({ path: read.url, headers: { Range: range } });
      }
      await transferred(read.id, 200);
      const none = await plane.imageAt(image.path, { ops: [] });
      await transferred(none.id, 0);
      const both = await plane.imageAt(image.path, { ops: ['read', 'write'] });
      expect(await plane.ticketInfo(both.id)).not.to.have.property('transferred');
    });

    it('counts what a running download has sent, and not what its client has not taken', async () => {
      const image = await plane.image(patternBytes(1, 48 * MiB), { ops: ['read'] });
      const transferred = async () => Number((await plane.ticketInfo(image.id)).transferred);
      await using connection = await plane.connect('local');
      connection.pause();
      await connection.write(requestBytes({ path: image.url }));
      let seen = -1;
      await until('the download comes to a halt', async () => {
        const before = seen;
        await new Promise((resolve) => setTimeout(resolve, 300));
        seen = await transferred();
        return seen === before;
      });
      // What lies between is some buffers of ours and the kernel's, of some MiB.
      expect(seen).to.be.below(24 * MiB);
      connection.resume();
      expect((await connection.response()).body.equals(patternBytes(1, 48 * MiB))).to.equal(true);
      await until('all is transferred', async () => (await transferred()) === 48 * MiB);
    });

    it('counts what a running upload has brought', async () => {
      const image = await plane.image(Buffer.alloc(48 * MiB));
      await using connection = await plane.connect();
      const headers = { 'Content-Length': String(48 * MiB) };
      await connection.write(requestBytes({ method: 'PUT', path: `${image.url}?flush=n`, headers }));
      await connection.write(Buffer.alloc(40 * MiB, 'x'));
      await until('some of it is counted', async () => Number((await plane.ticketInfo(image.id)).transferred) > 0);
      expect((await plane.ticketInfo(image.id)).active).to.equal(true);
      await connection.write(Buffer.alloc(8 * MiB, 'x'));
      expectEmpty(await connection.response());
    });
  });
});
