/** Our client of the imageio protocol against a server that misbehaves as servers and networks do. */
import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { expect } from 'chai';
import { Clients } from '../../../services/cli/images-client/clients.js';
import type { Endpoint } from '../../../services/cli/images-client/connection.js';
import { receiveImage } from '../../../services/cli/images-client/download.js';
import { ImageClient } from '../../../services/cli/images-client/image-client.js';
import { openImage } from '../../../services/cli/images-client/open-image.js';
import { sendImage, type UploadRequest } from '../../../services/cli/images-client/upload.js';
import type { ImageFormat } from '../../../services/cli/local-storage/image-format.js';
import { openLocalSource } from '../../../services/cli/local-storage/source.js';
import { openLocalTarget } from '../../../services/cli/local-storage/target.js';
import { MiB } from '../../../shared/units.js';
import { Workers } from '../../../workers/pool.js';
import { allocatedBytes, assertSameBytes, makeImage, patternBytes } from '../../helpers/bytes.js';
import { run } from '../../helpers/command.js';
import { failure } from '../../helpers/failure.js';
import { checksumOf, ImageServer, type ImageServerOptions, type Trouble } from '../../helpers/image-server.js';
import { needsCommands } from '../../helpers/needs.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';

const never = new AbortController().signal;
const RETRY_MS = [1, 2, 4];
const SIZE = 33 * MiB + 512;

function endpointOf(server: ImageServer): Endpoint {
  return { url: new URL(server.url), socketPath: null, authorities: null };
}

function clientOf(server: ImageServer): ImageClient {
  return new ImageClient(endpointOf(server), never, RETRY_MS);
}

describe('one connection to an image', () => {
  const breaks = (times: number, when: 'before' | 'after' | 'half') => (_: unknown, index: number) =>
    index < times ? ({ kind: 'break', when } as const) : null;

  for (const when of ['before', 'after'] as const) {
    it(`writes again when the connection breaks ${when} the server has done it`, async () => {
      const image = Buffer.alloc(MiB, 0xee);
      await using server = await ImageServer.start({ image, trouble: breaks(2, when) });
      const client = clientOf(server);
      await client.put(4096, patternBytes(1, 1000));
      expect(image.subarray(4096, 5096).equals(patternBytes(1, 1000))).to.equal(true);
      expect(image[4095]).to.equal(0xee);
      expect(image[5096]).to.equal(0xee);
      expect(server.of('PUT')).to.have.length(3);
      client.close();
    });
  }

  it('reads again from the start when an answer is cut short', async () => {
    const image = patternBytes(1, MiB);
    await using server = await ImageServer.start({ image, trouble: breaks(2, 'half') });
    const client = clientOf(server);
    const into = Buffer.alloc(100_000);
    await client.get(777, into);
    expect(into.equals(image.subarray(777, 100_777))).to.equal(true);
    expect(server.of('GET')).to.have.length(3);
    client.close();
  });

  it('gives up when the connection breaks again and again, and does not tell who may use the ticket', async () => {
    await using server = await ImageServer.start({
      image: Buffer.alloc(10),
      id: 'secret',
      trouble: breaks(99, 'before'),
    });
    const client = clientOf(server);
    const error = await failure(() => client.flush());
    expect(error.code).to.equal('NODE_UNAVAILABLE');
    expect(error.message).to.not.include('secret');
    expect(server.seen).to.have.length(1 + RETRY_MS.length);
    client.close();
  });

  for (const [status, code] of [
    [400, 'BAD_REQUEST'],
    [403, 'TICKET_REFUSED'],
    [416, 'RANGE_OUTSIDE_TARGET'],
    [500, 'INTERNAL'],
  ] as const) {
    it(`says in the server's words why it was answered ${status}, and asks once only`, async () => {
      const trouble = () => ({ kind: 'refuse', status, text: 'because of the moon' }) as const;
      await using server = await ImageServer.start({ image: Buffer.alloc(10), trouble });
      const client = clientOf(server);
      const works: (() => Promise<unknown>)[] = [
        () => client.put(0, Buffer.alloc(4)),
        () => client.zero({ start: 0, length: 4 }),
        () => client.flush(),
        () => client.get(0, Buffer.alloc(4)),
        () => client.extents(),
        () => client.checksum('sha256', 4 * MiB),
        () => client.options(),
      ];
      for (const work of works) {
        const error = await failure(work);
        expect(error.code).to.equal(code);
        expect(error.message).to.include('because of the moon');
      }
      expect(server.seen).to.have.length(works.length);
      client.close();
    });
  }

  it('stays on one connection', async () => {
    await using server = await ImageServer.start({ image: Buffer.alloc(1000) });
    const client = clientOf(server);
    await client.put(0, Buffer.alloc(10, 1));
    await client.zero({ start: 0, length: 5 });
    await client.flush();
    expect(server.connections).to.equal(1);
    client.close();
  });

  it('ends at once when it is stopped, also between two tries', async () => {
    await using server = await ImageServer.start({ image: Buffer.alloc(10), trouble: breaks(99, 'before') });
    const stop = new AbortController();
    const client = new ImageClient(endpointOf(server), stop.signal, [600_000]);
    const flushing = client.flush();
    const reason = new Error('enough');
    setTimeout(() => stop.abort(reason), 50);
    expect(await flushing.catch((thrown: unknown) => thrown)).to.equal(reason);
    client.close();
  });

  it('does not take a page of somebody else for an answer', async () => {
    const trouble = () => ({ kind: 'refuse', status: 200, text: '<html>' }) as const;
    await using server = await ImageServer.start({ image: Buffer.alloc(10), trouble });
    const client = clientOf(server);
    expect((await failure(() => client.options())).code).to.equal('INTERNAL');
    expect((await failure(() => client.get(0, Buffer.alloc(6)))).code).to.equal('INTERNAL');
    client.close();
  });
});

describe('the way to an image', () => {
  let dir: TempDir;

  before(async () => {
    dir = await tempDir();
  });

  after(() => dir.release());

  async function way(url: string, local: string | null = null): Promise<string | null> {
    return (await openImage({ url, local, authorities: null }, never)).endpoint.socketPath;
  }

  it('is the unix socket that the server names, when it knows the ticket too', async () => {
    const socket = dir.join('same');
    await using near = await ImageServer.start({ image: Buffer.alloc(1), socket });
    await using far = await ImageServer.start({ image: Buffer.alloc(1), options: { unix_socket: socket } });
    expect(await way(far.url)).to.equal(socket);
    expect(near.of('OPTIONS')).to.have.length(1);
  });

  it('is a socket with an abstract name, of exactly that name', async () => {
    const socket = `\0ferry-test-${process.pid}`;
    await using near = await ImageServer.start({ image: Buffer.alloc(1), socket });
    await using far = await ImageServer.start({ image: Buffer.alloc(1), options: { unix_socket: socket } });
    expect(await way(far.url)).to.equal(socket);
    expect(near.of('OPTIONS')).to.have.length(1);
  });

  it('is the URL when the socket of that name is of another server, is no socket, or is not here', async () => {
    const socket = dir.join('other');
    await using other = await ImageServer.start({ image: Buffer.alloc(1), socket, id: 'another-ticket' });
    await writeFile(dir.join('file'), '');
    for (const name of [socket, dir.join('file'), dir.join('missing'), '\0ferry-test-nobody']) {
      await using far = await ImageServer.start({ image: Buffer.alloc(1), options: { unix_socket: name } });
      expect(await way(far.url), name).to.equal(null);
    }
    expect(other.of('OPTIONS')).to.have.length(1);
  });

  it('is the URL when nobody listens on the socket any more', async () => {
    const socket = dir.join('dead');
    {
      await using server = await ImageServer.start({ image: Buffer.alloc(1), socket });
      await rename(socket, dir.join('kept'));
      expect(server.seen).to.have.length(0);
    }
    await rename(dir.join('kept'), socket);
    await using far = await ImageServer.start({ image: Buffer.alloc(1), options: { unix_socket: socket } });
    expect(await way(far.url)).to.equal(null);
  });

  it('is the socket known before, where the URL leads nowhere from here', async () => {
    const socket = dir.join('known');
    await using near = await ImageServer.start({ image: Buffer.alloc(1), socket });
    expect(await way('http://no-such-host.invalid/images/ticket', socket)).to.equal(socket);
    expect(near.of('OPTIONS')).to.have.length(1);
  });

  it('is told to be none at once when nothing listens there', async () => {
    const { url } = await (async () => {
      await using server = await ImageServer.start({ image: Buffer.alloc(1) });
      return { url: server.url };
    })();
    expect((await failure(() => way(url))).code).to.equal('NODE_UNAVAILABLE');
  });

  for (const url of ['nbd://host/x', 'http://host', 'images/x', 'http://host/images/x?y=z']) {
    it(`is not ${url}`, async () => {
      expect((await failure(() => way(url))).code).to.equal('BAD_REQUEST');
    });
  }
});

describe('whole images', function () {
  this.timeout(30_000);
  let dir: TempDir;
  let workers: Workers;
  let temporary: string | undefined;

  before(async () => {
    dir = await tempDir();
    // Where sockets of qemu-nbd would be left behind.
    temporary = process.env.TMPDIR;
    process.env.TMPDIR = dir.path;
    workers = new Workers({ threads: 2, bufferBytes: 4 * MiB });
    await makeImage(dir.join('image'), SIZE, [
      { start: 4096, length: MiB, seed: 1 },
      { start: 8 * MiB - 5, length: 10, seed: 2 },
      { start: 12 * MiB, length: 4 * MiB, seed: 3 },
      { start: SIZE - 100, length: 100, seed: 4 },
    ]);
  });

  after(async () => {
    if (temporary === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = temporary;
    await workers.close();
    await dir.release();
  });

  interface Sent {
    readonly image: Buffer;
    readonly server: ImageServer;
    readonly done: number;
    readonly checksum: string | undefined;
  }

  async function send(
    request: Partial<UploadRequest> & {
      readonly connections?: number;
      readonly path?: string;
      readonly format?: ImageFormat;
    },
    options: Partial<ImageServerOptions> = {},
  ): Promise<Sent> {
    const { path = dir.join('image'), format = null, connections = 3, ...rest } = request;
    const image = options.image ?? Buffer.alloc(SIZE, 0xee);
    await using server = await ImageServer.start({ ...options, image });
    const source = await openLocalSource(workers, path, format);
    const clients = new Clients(endpointOf(server), connections, rest.signal ?? never);
    let done = 0;
    const onDone = (length: number) => {
      done += length;
    };
    const common = {
      workers,
      clients,
      onDone,
      settled: [],
      zeroes: 'send',
      wantsChecksum: true,
      signal: never,
    } as const;
    try {
      const sent = await sendImage({ ...common, source: source.handle, data: source.data, ...rest });
      return { image, server, done, checksum: sent?.checksum };
    } finally {
      clients.close();
      await source.close();
    }
  }

  async function assertSent({ image }: Sent): Promise<void> {
    await writeFile(dir.join('sent'), image);
    await assertSameBytes(dir.join('image'), dir.join('sent'));
  }

  it('arrive byte by byte, with the checksum that the server has', async () => {
    const sent = await send({});
    await assertSent(sent);
    expect(sent.checksum).to.equal(checksumOf(sent.image));
    expect(sent.done).to.equal(SIZE);
  });

  it('are sent as data where there is data, and as zeroes everywhere else', async () => {
    const { server } = await send({});
    const bytes = server.of('PUT').reduce((sum, { length }) => sum + length, 0);
    // Data in whole granules of 64 KiB: the first begins before 4096, the second meets the border of two.
    expect(bytes).to.be.within(5 * MiB + 110, 5 * MiB + 6 * 65_536);
    const zeroes = server.of('PATCH', 'zero').reduce((sum, { length }) => sum + length, 0);
    expect(bytes + zeroes).to.equal(SIZE);
  });

  it('are flushed once on each connection that wrote, when all has been written', async () => {
    const { server } = await send({ connections: 3 });
    const flushes = server.of('PATCH', 'flush');
    const writers = new Set(server.seen.filter(({ op }) => op !== 'flush').map(({ connection }) => connection));
    expect(flushes.map(({ connection }) => connection).sort()).to.deep.equal([...writers].sort());
    expect(server.seen.slice(-flushes.length).every(({ op }) => op === 'flush')).to.equal(true);
  });

  it('use no more connections than they may', async () => {
    const { server } = await send({ connections: 1 });
    expect(server.connections).to.equal(1);
    expect(server.most).to.equal(1);
  });

  it('leave zeroes alone where the server sees to them', async () => {
    const { server, image, done } = await send({ zeroes: 'leave' }, { image: Buffer.alloc(SIZE) });
    expect(server.of('PATCH', 'zero')).to.deep.equal([]);
    expect(checksumOf(image)).to.equal((await send({})).checksum);
    expect(done).to.equal(SIZE);
  });

  it('are not sent again where they are durable, yet the checksum is that of all', async () => {
    const { image } = await send({});
    const settled = [0, 2 * MiB, 12 * MiB, 4 * MiB];
    image.fill(0xee, 2 * MiB, 12 * MiB);
    const again = await send({ settled }, { image });
    await assertSent(again);
    expect(again.server.of('PUT').filter(({ start }) => start < 2 * MiB)).to.deep.equal([]);
    expect(again.server.of('PUT').filter(({ start }) => start >= 12 * MiB && start < 16 * MiB)).to.deep.equal([]);
    expect(again.checksum).to.equal(checksumOf(image));
    expect(again.done).to.equal(SIZE);
  });

  it('arrive over a network in which every fifth request breaks', async () => {
    const trouble = (_: unknown, index: number): Trouble | null =>
      index % 5 === 4 ? { kind: 'break', when: index % 2 === 0 ? 'before' : 'after' } : null;
    const sent = await send({}, { trouble });
    await assertSent(sent);
  });

  it('fail with the first refusal, and what is not under way is not begun', async () => {
    const connections = 3;
    let asked = 0;
    const trouble = (_: unknown, index: number): Trouble | null => {
      asked = index + 1;
      return index < 2 ? null : { kind: 'refuse', status: 403, text: 'The ticket has expired' };
    };
    const error = await failure(() => send({ connections }, { trouble }));
    expect(error.code).to.equal('TICKET_REFUSED');
    expect(error.message).to.include('The ticket has expired');
    // Each lane may have had one step in hand.
    expect(asked).to.be.at.most(2 + connections + 1);
  });

  it('stop being sent at once when that is asked for', async () => {
    const stop = new AbortController();
    const reason = new Error('enough');
    const trouble = (_: unknown, index: number): Trouble | null => {
      if (index === 2) stop.abort(reason);
      return null;
    };
    expect(await send({ signal: stop.signal }, { trouble }).catch((thrown: unknown) => thrown)).to.equal(reason);
  });

  for (const [format, options] of [
    ['qcow2', ['-c']],
    ['vmdk', []],
    ['vhdx', []],
    ['vdi', []],
  ] as const) {
    needsCommands('qemu-img', 'qemu-nbd')(`of the format ${format} arrive as what a guest sees`, async () => {
      const path = dir.join(`image.${format}`);
      // A whole number of MiB: some formats know no other sizes.
      await makeImage(dir.join('whole'), 9 * MiB, [{ start: 4 * MiB - 5, length: 10, seed: 5 }]);
      await run('qemu-img', ['convert', '-O', format, ...options, dir.join('whole'), path]);
      const { image } = await send({ path, format, zeroes: 'leave' }, { image: Buffer.alloc(9 * MiB) });
      expect(image.equals(await readFile(dir.join('whole')))).to.equal(true);
      expect((await readdir(dir.path)).filter((name) => name.startsWith('ferry-nbd-'))).to.deep.equal([]);
    });
  }

  needsCommands('qemu-nbd')('of no known format are refused in the words of qemu-nbd', async () => {
    await writeFile(dir.join('no.qcow2'), patternBytes(1, 4096));
    const error = await failure(() => openLocalSource(workers, dir.join('no.qcow2'), 'qcow2'));
    expect(error.code).to.equal('BAD_REQUEST');
    expect(error.message).to.include('not in qcow2 format');
  });

  it('come back byte by byte, with holes where there are zeroes, under their name only when they are complete', async () => {
    const { image } = await send({});
    // Without extents of its own it says what a server says that knows no holes: all is data.
    await using server = await ImageServer.start({
      image,
      trouble: ({ method }, index) => (method === 'GET' && index % 4 === 3 ? { kind: 'break', when: 'half' } : null),
    });
    const clients = new Clients(endpointOf(server), 3, never);
    const target = await openLocalTarget(workers, dir.join('received'), SIZE, false);
    let done = 0;
    const onDone = (length: number) => {
      done += length;
    };
    const found = await clients.use((client) => client.extents());
    await receiveImage({ workers, target: target.handle, extents: found, clients, signal: never, onDone });
    expect(await failure(() => openLocalSource(workers, dir.join('received'), 'raw'))).to.have.property(
      'code',
      'PATH_NOT_FOUND',
    );
    await target.complete();
    await target.close();
    clients.close();
    await assertSameBytes(dir.join('image'), dir.join('received'));
    expect(done).to.equal(SIZE);
    expect(await allocatedBytes(dir.join('received'))).to.be.lessThan(7 * MiB);
  });

  it('do not leave half a file behind when they cannot be received', async () => {
    const target = await openLocalTarget(workers, dir.join('half'), SIZE, false);
    await target.close();
    for (const name of ['half', 'half.part']) {
      expect(await failure(() => openLocalSource(workers, dir.join(name), 'raw'))).to.have.property(
        'code',
        'PATH_NOT_FOUND',
      );
    }
  });

  it('go over an older file only when that is allowed, and it stays until they are complete', async () => {
    await writeFile(dir.join('older'), 'older');
    expect((await failure(() => openLocalTarget(workers, dir.join('older'), MiB, false))).code).to.equal('BAD_REQUEST');
    const target = await openLocalTarget(workers, dir.join('older'), MiB, true);
    await target.close();
    expect(await allocatedBytes(dir.join('older'))).to.be.greaterThan(0);
  });
});
