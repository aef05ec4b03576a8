/** `ferry upload` and `ferry download` as people use them, against a real service. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { expect } from 'chai';
import type { JobView } from '../../shared/schemas/job.js';
import { KiB, MiB } from '../../shared/units.js';
import { allocatedBytes, assertSameBytes, makeImage, patternBytes } from '../helpers/bytes.js';
import { run as runTool } from '../helpers/command.js';
import { DataPlane } from '../helpers/data-plane.js';
import { ImageServer } from '../helpers/image-server.js';
import { needsNbd, startNbdkit } from '../helpers/nbd.js';
import { type Service, startService } from '../helpers/service.js';
import { type TempDir, tempDir } from '../helpers/temp.js';
import { FERRY, run, start } from '../integration/cli/programs.js';

const SIZE = 24 * MiB + 512;
const DATA = 9 * MiB + 1000;
/** Data is sent in whole granules: three runs of it begin and end in one. */
const MOST_DATA = DATA + 6 * 64 * KiB;

describe('ferry upload and download', function () {
  this.timeout(60_000);
  let dir: TempDir;
  let service: Service;

  before(async () => {
    dir = await tempDir();
    await makeImage(dir.join('image.raw'), SIZE, [
      { start: 4096, length: 5 * MiB, seed: 1 },
      { start: 13 * MiB, length: 4 * MiB + 1000 - 4096, seed: 2 },
      { start: SIZE - 4096, length: 4096, seed: 3 },
    ]);
    service = await startService({
      roots: [dir.path],
      env: { FERRY_IMAGES_HOST: '127.0.0.1', FERRY_LOCAL_SOCKET: 'off', FERRY_FLUSH_INTERVAL_MS: '200' },
    });
  });

  after(async () => {
    await service?.[Symbol.asyncDispose]();
    await dir?.release();
  });

  async function ferry(...args: string[]) {
    return await run(FERRY, args, { FERRY_API_URL: service.url });
  }

  it('sends an image through a job, and proves it by its checksum', async () => {
    await writeFile(dir.join('sent.img'), Buffer.alloc(SIZE, 0xee));
    const { code, stdout, stderr } = await ferry('upload', dir.join('image.raw'), dir.join('sent.img'), '--verify');
    expect(code, stderr).to.equal(0);
    expect(stdout)
      .to.match(/^job [0-9a-f-]+$/m)
      .and.match(/verified +sha256 [0-9a-f]{64}/);
    await assertSameBytes(dir.join('image.raw'), dir.join('sent.img'));
  });

  it('sends data only: holes are left to the node', async () => {
    const { code, stdout } = await ferry('upload', dir.join('image.raw'), dir.join('sparse.img'), '--sparse', '--json');
    expect(code).to.equal(0);
    const job = JSON.parse(stdout.trim().split('\n').at(-1) as string) as JobView;
    expect(job.result?.copiedBytes).to.be.within(DATA, MOST_DATA);
    await assertSameBytes(dir.join('image.raw'), dir.join('sparse.img'));
    expect(await allocatedBytes(dir.join('sparse.img'))).to.be.lessThan(12 * MiB);
  });

  needsNbd('sends a qcow2 image as what it means, and asks before it follows one to other files', async () => {
    const convert = (...args: string[]) => runTool('qemu-img', args);
    await convert('convert', '-O', 'qcow2', dir.join('image.raw'), dir.join('image.qcow2'));
    const sent = await ferry('upload', dir.join('image.qcow2'), dir.join('from-qcow2.img'), '--verify');
    expect(sent.code, sent.stderr).to.equal(0);
    await assertSameBytes(dir.join('image.raw'), dir.join('from-qcow2.img'));
    await convert('create', '-q', '-f', 'qcow2', '-b', dir.join('image.raw'), '-F', 'raw', dir.join('child.qcow2'));
    const refused = await ferry('upload', dir.join('child.qcow2'), dir.join('never.img'));
    expect(refused.code).to.equal(2);
    expect(refused.stderr).to.include('NOT_SUPPORTED').and.include('--format qcow2');
    const asked = await ferry('upload', dir.join('child.qcow2'), dir.join('child.img'), '--format', 'qcow2');
    expect(asked.code, asked.stderr).to.equal(0);
    await assertSameBytes(dir.join('image.raw'), dir.join('child.img'));
  });

  it('goes on with a job whose client was interrupted, and sends nothing twice', async () => {
    const target = dir.join('resumed.img');
    const half = patternBytes(1, 5 * MiB);
    const size = 24 * MiB + 512;
    const { id, upload } = await service.submit({
      kind: 'upload',
      source: { type: 'client', size },
      target: { type: 'file', path: target },
    });
    const headers = { 'content-range': 'bytes 4096-*/*' };
    await fetch(`${upload?.url}`, { method: 'PUT', body: half, headers });
    await service.until(id, (job) => (job.upload?.durable.length ?? 0) > 0);
    const { code, stderr } = await ferry('upload', dir.join('image.raw'), '--resume', id);
    expect(code, stderr).to.equal(0);
    await assertSameBytes(dir.join('image.raw'), target);
    expect((await service.job(id)).result?.copiedBytes).to.be.within(DATA, MOST_DATA);
  });

  it('stops on SIGINT and says how to go on; the job waits', async () => {
    const program = start(FERRY, ['upload', dir.join('image.raw'), '--resume', await waitingJob(SIZE)], {
      FERRY_API_URL: service.url,
    });
    const line = await program.line();
    await program.line();
    const code = await program.end('SIGINT');
    const id = line.replace('job ', '');
    // It may have been done before the signal came.
    if (code === 0) return expect((await service.job(id)).state).to.equal('completed');
    expect(code).to.equal(130);
    expect(program.stderr()).to.include(`--resume ${id}`);
    await service.cancel(id);
  });

  it('refuses to go on with a job that is for another image, or for what the image was before', async () => {
    const id = await waitingJob(MiB);
    const { code, stderr } = await ferry('upload', dir.join('image.raw'), '--resume', id);
    expect(code).to.equal(2);
    expect(stderr).to.include('BAD_REQUEST');
    await service.cancel(id);
    const begun = await service.submit({
      kind: 'upload',
      source: { type: 'client', size: SIZE },
      target: { type: 'file', path: dir.join('changed.img') },
      labels: { source: '2020-01-01T00:00:00.000000000Z image.raw' },
    });
    const changed = await ferry('upload', dir.join('image.raw'), '--resume', begun.id);
    expect(changed.code).to.equal(2);
    expect(changed.stderr).to.include(`job ${begun.id} was begun with`);
    await service.cancel(begun.id);
  });

  it('goes on with a job that has failed or was canceled meanwhile', async () => {
    const id = await waitingJob(SIZE);
    await service.cancel(id);
    await service.ended(id);
    const { code, stderr } = await ferry('upload', dir.join('image.raw'), '--resume', id, '--verify');
    expect(code, stderr).to.equal(0);
    await assertSameBytes(dir.join('image.raw'), dir.join(`waiting-${SIZE}.img`));
  });

  needsNbd('goes on by itself when the node is killed, with what is not durable', async () => {
    const size = 40 * MiB;
    await makeImage(dir.join('slow.raw'), size, [{ start: 0, length: size, seed: 5 }]);
    // Slow enough to be killed in the middle.
    const delay = ['--filter=delay', 'file', dir.join('slow.raw'), 'rdelay=300ms'];
    await using slow = await startNbdkit(dir.path, delay);
    await using data = await tempDir();
    const env = {
      FERRY_LOCAL_SOCKET: 'off',
      FERRY_IMAGES_HOST: '127.0.0.1',
      FERRY_FLUSH_INTERVAL_MS: '100',
      FERRY_LEASE_MS: '1000',
    };
    const options = { roots: [dir.path], dataDir: data.path, env };
    const first = await startService(options);
    const args = ['upload', slow.uri, dir.join('killed.img'), '--json', '--connections', '1'];
    const program = start(FERRY, args, { FERRY_API_URL: first.url });
    const exited = once(program.child, 'exit');
    const { id } = JSON.parse(await program.line()) as JobView;
    await first.until(id, (job) => (job.upload?.durable.length ?? 0) > 0);
    await first.end('SIGKILL');
    const sameUrl = { ...env, FERRY_API_PORT: new URL(first.url).port };
    await using second = await startService({ ...options, env: sameUrl });
    expect((await exited)[0], program.stderr()).to.equal(0);
    const job = await second.job(id);
    expect(job.attempt).to.equal(2);
    expect(job.result?.resumedBytes).to.be.greaterThan(0);
    await assertSameBytes(dir.join('slow.raw'), dir.join('killed.img'));
  });

  it('does not call it done when the image was written to meanwhile', async () => {
    const path = dir.join('written.raw');
    await writeFile(path, patternBytes(6, MiB));
    const trouble = ({ op }: { op: string | null }) => {
      if (op === 'flush') writeFileSync(path, patternBytes(7, MiB));
      return null;
    };
    await using server = await ImageServer.start({ image: Buffer.alloc(MiB), trouble });
    const { code, stdout, stderr } = await ferry('upload', path, '--url', server.url);
    expect(code).to.equal(2);
    expect(stderr).to.include('SOURCE_CHANGED');
    expect(stdout).to.not.include('completed');
  });

  it('reads an image of the node into a file, holes and all', async () => {
    const { code, stderr } = await ferry('download', dir.join('image.raw'), dir.join('read.img'));
    expect(code, stderr).to.equal(0);
    await assertSameBytes(dir.join('image.raw'), dir.join('read.img'));
    expect(await allocatedBytes(dir.join('read.img'))).to.be.lessThan(12 * MiB);
    await writeFile(dir.join('old.img'), Buffer.alloc(SIZE + MiB, 0xee));
    const refused = await ferry('download', dir.join('image.raw'), dir.join('old.img'));
    expect(refused.code).to.equal(2);
    expect(refused.stderr).to.include('--overwrite');
    expect((await readFile(dir.join('old.img')))[SIZE]).to.equal(0xee);
    const allowed = await ferry('download', dir.join('image.raw'), dir.join('old.img'), '--overwrite', '--verify');
    expect(allowed.code, allowed.stderr).to.equal(0);
    await assertSameBytes(dir.join('image.raw'), dir.join('old.img'));
  });

  it('works on a ticket, over TLS and over the unix socket that the server names', async () => {
    await using plane = await DataPlane.start({ tls: true });
    const image = await plane.image(Buffer.alloc(SIZE, 0xee));
    const url = `https://localhost:${plane.port}${image.url}`;
    const ca = ['--cacert', plane.certificatePath as string];
    const sent = await ferry('upload', dir.join('image.raw'), '--url', url, ...ca);
    expect(sent.code, sent.stderr).to.equal(0);
    expect((await image.read()).equals(await readFile(dir.join('image.raw')))).to.equal(true);
    const read = await ferry('download', '--url', url, dir.join('tls.img'), ...ca);
    expect(read.code, read.stderr).to.equal(0);
    await assertSameBytes(dir.join('image.raw'), dir.join('tls.img'));
    const untrusted = await ferry('download', '--url', url, dir.join('untrusted.img'));
    expect(untrusted.code).to.equal(3);
    expect(untrusted.stderr).to.include('NODE_UNAVAILABLE');
  });

  it('says what the server says of a ticket that is not valid', async () => {
    const { images } = service.ready as { images: { port: number } };
    const url = `http://127.0.0.1:${images.port}/images/nothing`;
    const { code, stderr } = await ferry('upload', dir.join('image.raw'), '--url', url);
    expect(code).to.equal(2);
    expect(stderr).to.include('TICKET_REFUSED').and.include('nothing');
  });

  it('repeats requests over a connection that breaks', async () => {
    const { images } = service.ready as { images: { port: number } };
    await using proxy = await breaking(images.port, 3);
    const { id, upload } = await service.submit({
      kind: 'upload',
      source: { type: 'client', size: SIZE },
      target: { type: 'file', path: dir.join('broken.img') },
    });
    const url = String(upload?.url).replace(/:\d+\//, `:${proxy.port}/`);
    const { code, stderr } = await run(FERRY, ['upload', dir.join('image.raw'), '--url', url], {
      FERRY_API_URL: service.url,
    });
    expect(code, stderr).to.equal(0);
    expect(proxy.broken()).to.equal(3);
    await service.send('POST', `/v1/jobs/${id}/finalize`);
    expect((await service.ended(id)).state).to.equal('completed');
    await assertSameBytes(dir.join('image.raw'), dir.join('broken.img'));
  });

  it('names what is missing in the command line', async () => {
    for (const args of [
      ['upload', 'x'],
      ['upload', 'x', 'y', '--url', 'http://h/images/z'],
      ['download', 'x'],
      ['download', 'x', 'y', '--url', 'http://h/images/z'],
    ]) {
      const { code, stderr } = await ferry(...args);
      expect(code, args.join(' ')).to.equal(2);
      expect(stderr).to.include('error: give ');
    }
    const missing = await ferry('upload', dir.join('missing.raw'), dir.join('y.img'));
    expect(missing.code).to.equal(2);
    expect(missing.stderr).to.include('PATH_NOT_FOUND').and.include('missing.raw');
  });

  async function waitingJob(size: number): Promise<string> {
    const target = { type: 'file' as const, path: dir.join(`waiting-${size}.img`) };
    return (await service.submit({ kind: 'upload', source: { type: 'client', size }, target })).id;
  }
});

interface Proxy extends AsyncDisposable {
  readonly port: number;
  broken(): number;
}

/** Passes bytes on, and cuts so many connections after a megabyte. */
async function breaking(port: number, times: number): Promise<Proxy> {
  const { connect } = await import('node:net');
  let broken = 0;
  const server: Server = createServer((client) => {
    const to = connect(port, '127.0.0.1');
    let passed = 0;
    client.on('data', (chunk) => {
      passed += chunk.length;
      if (passed > MiB && broken < times) {
        broken += 1;
        client.destroy();
        to.destroy();
      } else to.write(chunk);
    });
    to.on('data', (chunk) => client.write(chunk));
    for (const [one, other] of [
      [client, to],
      [to, client],
    ] as const) {
      one.on('error', () => {});
      one.on('close', () => other.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as { port: number }).port,
    broken: () => broken,
    async [Symbol.asyncDispose]() {
      server.close();
    },
  };
}
