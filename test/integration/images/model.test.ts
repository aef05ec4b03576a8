/**
 * Random operations of several connections at once against a plain model in memory: whatever the mix of offsets,
 * lengths and alignments, the image always holds what the model holds. In each round the connections work on
 * neighbouring ranges that do not overlap, many of them inside one sector; between rounds everything is compared.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { patternBytes, readRange } from '../../helpers/bytes.js';
import { hasCommand, run } from '../../helpers/command.js';
import { DataPlane, type TestImage } from '../../helpers/data-plane.js';
import { attachLoop, hasLoopDevices } from '../../helpers/loop.js';
import { mountFileSystem } from '../../helpers/mounts.js';
import { type NbdServer, startNbdkit, startQemuNbd } from '../../helpers/nbd.js';
import { isRoot, needs } from '../../helpers/needs.js';
import type { RawConnection, RawRequest } from '../../helpers/raw-http.js';
import { Seeded } from '../../helpers/seeded.js';
import { tempDir } from '../../helpers/temp.js';
import { json } from './expectations.js';

const KiB = 1024;
const SIZE = 256 * KiB;
/** Of qcow2. */
const CLUSTER = 64 * KiB;
const CONNECTIONS = 5;
const ROUNDS = 60;

interface Storage extends AsyncDisposable {
  readonly root: string;
  /** Of the image, of SIZE bytes. */
  readonly url: string;
  /** What it holds, past the data plane; null: nobody else can tell. */
  readonly path: string | null;
  /** Looks for damage that no reader has seen yet. */
  readonly check?: () => Promise<unknown>;
}

const hasNbd = hasCommand('nbdkit') && hasCommand('qemu-nbd');

const KINDS: readonly { name: string; here: boolean; seed: number; make: () => Promise<Storage> }[] = [
  { name: 'a file on ext4', here: hasLoopDevices, seed: 1, make: () => fileOn('ext4', SIZE) },
  {
    name: 'an empty file on ext4 that grows',
    here: hasLoopDevices,
    seed: 2,
    make: () => fileOn('ext4', 0),
  },
  { name: 'a file on tmpfs', here: isRoot, seed: 3, make: () => fileOn('tmpfs', SIZE) },
  { name: 'a device with sectors of 512', here: hasLoopDevices, seed: 4, make: () => device(512) },
  { name: 'a device with sectors of 4096', here: hasLoopDevices, seed: 5, make: () => device(4096) },
  { name: 'a qcow2 image behind qemu-nbd', here: hasNbd, seed: 6, make: qcow2 },
  { name: 'an NBD export that takes whole blocks only', here: hasNbd, seed: 7, make: wholeBlocks },
];

async function fileOn(type: 'ext4' | 'tmpfs', size: number): Promise<Storage> {
  const fs = await mountFileSystem(type);
  const path = join(fs.path, 'image');
  await writeFile(path, Buffer.alloc(size));
  return { root: fs.path, url: `file://${path}`, path, [Symbol.asyncDispose]: () => fs.release() };
}

async function device(sectorSize: 512 | 4096): Promise<Storage> {
  const loop = await attachLoop({ size: SIZE, sectorSize });
  return { root: loop.path, url: `file://${loop.path}`, path: loop.path, [Symbol.asyncDispose]: () => loop.release() };
}

async function qcow2(): Promise<Storage> {
  let image = '';
  const storage = await nbd(async (dir) => {
    image = join(dir, 'image.qcow2');
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', image, String(SIZE)]);
    return await startQemuNbd(dir, 'qcow2', image);
  });
  // Two clusters of the image in one place of the file are found before one of them is overwritten.
  return { ...storage, check: () => run('qemu-img', ['check', '--force-share', image]) };
}

/** What is smaller or not aligned fails there: the data plane must read, change and write whole blocks. */
async function wholeBlocks(): Promise<Storage> {
  const policy = ['blocksize-error-policy=error', 'blocksize-minimum=4096', 'blocksize-preferred=4096'];
  return await nbd((dir) => startNbdkit(dir, ['--filter=blocksize-policy', 'memory', String(SIZE), ...policy]));
}

async function nbd(start: (dir: string) => Promise<NbdServer>): Promise<Storage> {
  const dir = await tempDir();
  const server = await start(dir.path);
  const end = async () => {
    await server[Symbol.asyncDispose]();
    await dir.release();
  };
  return { root: dir.path, url: `nbd:unix:${server.socket}`, path: null, [Symbol.asyncDispose]: end };
}

interface Operation {
  readonly what: string;
  readonly request: RawRequest;
  /** What the answer must hold. */
  readonly body: Buffer;
  /** What the image holds afterwards. */
  apply(model: Buffer): void;
}

describe('random operations against a model', function () {
  this.timeout(60_000);

  const storages = new Map<string, Storage>();
  let plane: DataPlane;
  before(async () => {
    for (const { name, here, make } of KINDS) if (here) storages.set(name, await make());
    plane = await DataPlane.start({ roots: [...storages.values()].map(({ root }) => root) });
  });
  after(async () => {
    await plane?.[Symbol.asyncDispose]();
    for (const storage of storages.values()) await storage[Symbol.asyncDispose]();
  });

  for (const { name, here, seed } of KINDS) {
    needs(here, 'root, a free loop device, nbdkit and qemu-nbd')(`leave ${name} as the model has it`, async () => {
      const { url, path, check } = storages.get(name) as Storage;
      // One ticket that punches holes and one that reserves space, for the same image.
      const tickets = await Promise.all(
        [true, false].map((sparse) => plane.imageAt('', { url, size: SIZE, sparse, ops: ['read', 'write'] })),
      );
      const connections: RawConnection[] = [];
      for (let i = 0; i < CONNECTIONS; i++) connections.push(await plane.connect(i % 2 === 0 ? 'remote' : 'local'));
      try {
        await play(new Seeded(seed), tickets, connections, path);
        await check?.();
      } finally {
        for (const connection of connections) connection.close();
      }
    });
  }
  needs(hasNbd, 'nbdkit and qemu-nbd')(
    'do not damage a qcow2 image whose clusters are zeroed and written at once',
    async () => {
      const { url, check } = storages.get('a qcow2 image behind qemu-nbd') as Storage;
      const fields = { url, size: SIZE, ops: ['read', 'write'] };
      const keeping = await plane.imageAt('', { ...fields, sparse: false });
      const giving = await plane.imageAt('', { ...fields, sparse: true });
      await using first = await plane.connect();
      await using second = await plane.connect();
      const put = (connection: RawConnection, start: number, data: Buffer) =>
        connection.request({
          method: 'PUT',
          path: `${keeping.url}?flush=n`,
          headers: { 'Content-Range': `bytes ${start}-*/*` },
          body: data,
        });
      const zero = (connection: RawConnection, image: TestImage, offset: number, size: number) =>
        connection.request({ method: 'PATCH', path: image.url, body: json({ op: 'zero', offset, size }) });

      for (let round = 0; round < 60; round++) {
        // A cluster that reads as zeroes and has its place in the file; then half of it is written, half of it zeroed.
        await put(first, 0, patternBytes(round, CLUSTER));
        await zero(first, keeping, 0, CLUSTER);
        const half = CLUSTER / 2;
        await Promise.all([put(first, 0, patternBytes(round, half)), zero(second, giving, half + 4096, 8192)]);
        // Others want a place.
        for (const other of [1, 2, 3]) {
          await zero(first, giving, other * CLUSTER, CLUSTER);
          await put(first, other * CLUSTER, patternBytes(round + other, CLUSTER));
        }
        const { body } = await first.request({ path: keeping.url, headers: { Range: `bytes=0-${CLUSTER - 1}` } });
        const wanted = Buffer.concat([patternBytes(round, half), Buffer.alloc(half)]);
        expectSame(body, wanted, `round ${round}`);
      }
      await first.request({ method: 'PATCH', path: keeping.url, body: json({ op: 'flush' }) });
      await check?.();
    },
  );
});

async function play(
  random: Seeded,
  tickets: readonly TestImage[],
  connections: readonly RawConnection[],
  path: string | null,
): Promise<void> {
  const model = Buffer.alloc(SIZE);
  // A file that grows is read only where something was written before.
  const whole = patternBytes(0, SIZE).fill(0, SIZE / 2);
  whole.copy(model);
  const first = { method: 'PUT', path: `${tickets[0]?.url}?flush=n`, body: whole };
  expect((await (connections[0] as RawConnection).request(first)).status).to.equal(200);

  for (let round = 0; round < ROUNDS; round++) {
    const ranges = neighbours(random, connections.length);
    const operations = ranges.map(([start, end]) => operation(random, random.pick(tickets).url, start, end, model));
    const history = `round ${round}: ${operations.map(({ what }) => what).join(', ')}`;
    const answers = await Promise.all(
      operations.map(({ request }, i) => (connections[i] as RawConnection).request(request)),
    );
    answers.forEach((answer, i) => {
      const { request, body, what } = operations[i] as Operation;
      expect(answer.status, `${history}: ${what}: ${answer.text().slice(0, 200)}`).to.equal(
        request.headers?.Range === undefined ? 200 : 206,
      );
      if (!answer.body.equals(body)) throw new Error(`${history}: ${what}: the answer is wrong`);
    });
    for (const { apply } of operations) apply(model);
    const reader = connections[round % connections.length] as RawConnection;
    const { body } = await reader.request({ path: random.pick(tickets).url });
    expectSame(body, model, history);
  }
  for (const { url } of tickets) {
    const flush = { method: 'PATCH', path: url, body: json({ op: 'flush' }) };
    expect((await (connections[0] as RawConnection).request(flush)).status).to.equal(200);
  }
  if (path !== null) expectSame(await readRange(path, 0, SIZE), model, 'what other programs read in the end');
}

/** Ranges side by side: often all of them inside one or two sectors, sometimes far apart. */
function neighbours(random: Seeded, count: number): [number, number][] {
  const spread = random.pick([40, 600, 5000, 60_000, SIZE]);
  const from = random.below(SIZE - spread + 1);
  const cuts = Array.from({ length: count + 1 }, () => from + random.below(spread + 1)).sort((a, b) => a - b);
  // Some edges lie on sectors.
  const unit = random.pick([1, 1, 512, 4096]);
  const aligned = cuts
    .map((cut) => (random.below(3) === 0 ? Math.floor(cut / unit) * unit : cut))
    .sort((a, b) => a - b);
  return aligned.slice(1).map((end, i) => [aligned[i] as number, end]);
}

function operation(random: Seeded, url: string, start: number, end: number, model: Buffer): Operation {
  const size = end - start;
  const none = Buffer.alloc(0);
  const at = `[${start}, ${end})`;
  const kind = random.below(10);
  if (kind < 4 || size === 0) {
    const data = patternBytes(random.below(2 ** 31), size);
    const flush = random.below(12) === 0 ? '' : '?flush=n';
    const request = {
      method: 'PUT',
      path: url + flush,
      headers: { 'Content-Range': `bytes ${start}-*/*` },
      body: data,
    };
    return { what: `PUT ${at}`, request, body: none, apply: (image) => void data.copy(image, start) };
  }
  if (kind < 7) {
    const flush = random.below(12) === 0;
    const request = { method: 'PATCH', path: url, body: json({ op: 'zero', offset: start, size, flush }) };
    return { what: `zero ${at}`, request, body: none, apply: (image) => void image.fill(0, start, end) };
  }
  if (kind < 9) {
    const request = { path: url, headers: { Range: `bytes=${start}-${end - 1}` } };
    return { what: `GET ${at}`, request, body: Buffer.from(model.subarray(start, end)), apply: () => {} };
  }
  const request = { method: 'PATCH', path: url, body: json({ op: 'flush' }) };
  return { what: 'flush', request, body: none, apply: () => {} };
}

function expectSame(found: Buffer, wanted: Buffer, when: string): void {
  if (found.equals(wanted)) return;
  let at = 0;
  while (at < wanted.length && found[at] === wanted[at]) at++;
  throw new Error(`${when}: byte ${at} is ${found[at]} and should be ${wanted[at]} (${found.length} bytes)`);
}
