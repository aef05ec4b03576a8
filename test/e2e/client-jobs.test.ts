/** Jobs whose data a client sends or reads over the data plane: over real HTTP, as any client of the protocol would. */
import { createHash } from 'node:crypto';
import { readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { expect } from 'chai';
import type { JobView } from '../../shared/schemas/job.js';
import { MiB } from '../../shared/units.js';
import { makeImage, patternBytes } from '../helpers/bytes.js';
import { Cluster } from '../helpers/cluster.js';
import { attachLoop, needsLoop } from '../helpers/loop.js';
import { type Service, startService } from '../helpers/service.js';
import { type TempDir, tempDir } from '../helpers/temp.js';

const SIZE = 4 * MiB + 512;
const CLIENT_SECONDS = 2;

describe('jobs with a client', function () {
  this.timeout(60_000);
  let dir: TempDir;
  let service: Service;

  before(async () => {
    dir = await tempDir();
    const env = {
      FERRY_IMAGES_HOST: '127.0.0.1',
      FERRY_CLIENT_TIMEOUT: String(CLIENT_SECONDS),
      FERRY_FLUSH_INTERVAL_MS: '200',
    };
    service = await startService({ roots: [dir.path], env });
  });

  after(async () => {
    await service?.[Symbol.asyncDispose]();
    await dir?.release();
  });

  async function upload(name: string, more: object = {}): Promise<JobView> {
    return await submit({
      kind: 'upload',
      source: { type: 'client', size: SIZE },
      target: { type: 'file', path: dir.join(name) },
      ...more,
    });
  }

  async function submit(request: object): Promise<JobView> {
    const answer = await call('POST', '/v1/jobs', request);
    expect(answer.status).to.equal(202);
    return answer.json as unknown as JobView;
  }

  async function call(method: string, path: string, body?: object) {
    const headers = { 'content-type': 'application/json' };
    const init = body === undefined ? { method } : { method, headers, body: JSON.stringify(body) };
    const answer = await service.fetch(path, init);
    return { status: answer.status, json: (await answer.json()) as Record<string, unknown> };
  }

  const finalize = (id: string, body: object = {}) => call('POST', `/v1/jobs/${id}/finalize`, body);
  const job = async (id: string) => (await call('GET', `/v1/jobs/${id}`)).json as unknown as JobView;

  it('answers with an upload URL at once; what the client sends and zeroes is the image, the rest reads as zeroes', async () => {
    await writeFile(dir.join('old.img'), Buffer.alloc(SIZE + MiB, 0xee));
    const { id, upload: offer } = await upload('old.img');
    const url = offer?.url as string;
    expect(offer?.durable).to.deep.equal([]);
    const expected = Buffer.alloc(SIZE + MiB);
    patternBytes(1, 700_000).copy(expected, 100_001);
    await put(url, 100_001, expected.subarray(100_001, 800_001));
    for (const [offset, size] of [
      [300_000, 100_000],
      [2 * MiB, MiB],
    ]) {
      const zeroed = await fetch(url, { method: 'PATCH', body: JSON.stringify({ op: 'zero', size, offset }) });
      expect(zeroed.status).to.equal(200);
    }
    expected.fill(0, 300_000, 400_000);
    expect((await finalize(id)).status).to.equal(202);
    const done = await service.ended(id);
    expect(done.state).to.equal('completed');
    expect(done.progress).to.include({ percent: 100, durableBytes: SIZE + MiB });
    // What was zeroed by a request was not sent.
    expect(done.result?.copiedBytes).to.equal(700_000);
    expect(done.upload).to.equal(null);
    expect((await readFile(dir.join('old.img'))).equals(expected)).to.equal(true);
    expect((await fetch(url, { method: 'OPTIONS' })).status).to.equal(403);
  });

  it('tells what is durable while the client still sends', async () => {
    const { id, upload: offer } = await upload('durable.img');
    await put(offer?.url as string, 0, patternBytes(2, MiB));
    const slower = await call('PATCH', `/v1/jobs/${id}`, { bandwidthBytesPerSecond: MiB });
    expect(slower.status).to.equal(422);
    let view = await job(id);
    for (; view.state === 'active' && view.progress?.durableBytes !== MiB; view = await job(id));
    expect(view.upload?.durable).to.deep.equal([[0, MiB]]);
    expect(view.progress?.totalBytes).to.equal(SIZE);
    const { jobs } = (await call('GET', '/v1/jobs?limit=1')).json as { jobs: JobView[] };
    expect(jobs[0]).to.include({ id }).and.not.have.property('upload');
    await call('DELETE', `/v1/jobs/${id}`);
    await service.ended(id);
  });

  it('compares the checksum that the client gives, and fails where it is another', async () => {
    const image = patternBytes(3, SIZE);
    for (const right of [true, false]) {
      const { id, upload: offer } = await upload(`sum-${right}.img`);
      await put(offer?.url as string, 0, image);
      const checksum = blockChecksum(image, MiB);
      const given = right ? checksum : checksum.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
      await finalize(id, { checksum: { algorithm: 'sha256', blockSize: MiB, checksum: given } });
      const done = await service.ended(id);
      expect(done.state).to.equal(right ? 'completed' : 'failed');
      if (right) expect(done.result?.checksum).to.deep.equal({ algorithm: 'sha256', blockSize: MiB, checksum });
      else expect(done.error?.code).to.equal('VERIFY_FAILED');
    }
  });

  it('ends with CLIENT_IDLE when nothing comes, and a retry goes on from what is durable', async () => {
    const image = patternBytes(4, SIZE);
    const { id, upload: offer } = await upload('idle.img');
    await put(offer?.url as string, 0, image.subarray(0, MiB));
    const failed = await service.ended(id);
    expect(failed.error?.code).to.equal('CLIENT_IDLE');
    expect((await call('POST', `/v1/jobs/${id}/retry`)).status).to.equal(202);
    let again = await job(id);
    for (; again.upload == null; again = await job(id));
    expect(again.upload.durable).to.deep.equal([[0, MiB]]);
    expect(again.upload.url).to.not.equal(offer?.url);
    await put(again.upload.url, MiB, image.subarray(MiB));
    await finalize(id);
    expect((await service.ended(id)).state).to.equal('completed');
    expect((await readFile(dir.join('idle.img'))).equals(image)).to.equal(true);
  });

  it('revokes the URL on cancel, in the middle of a body too', async () => {
    const { id, upload: offer } = await upload('canceled.img');
    const url = offer?.url as string;
    const body = new ReadableStream({
      async pull(controller) {
        controller.enqueue(new Uint8Array(4096));
        await new Promise((resolve) => setTimeout(resolve, 50));
      },
    });
    const headers = { 'content-length': String(SIZE) };
    const sending = fetch(url, { method: 'PUT', body, headers, duplex: 'half' } as RequestInit).catch(() => null);
    await call('DELETE', `/v1/jobs/${id}`);
    expect((await service.ended(id)).state).to.equal('canceled');
    const answer = await sending;
    expect(answer === null || answer.status === 403).to.equal(true);
    expect((await fetch(url, { method: 'OPTIONS' })).status).to.equal(403);
  });

  it('stops at a pause, and offers another URL when it goes on', async () => {
    const image = patternBytes(5, SIZE);
    const { id, upload: offer } = await upload('paused.img');
    await put(offer?.url as string, 0, image.subarray(0, 2 * MiB));
    await call('POST', `/v1/jobs/${id}/pause`);
    let view = await job(id);
    for (; view.state !== 'paused'; view = await job(id));
    expect((await fetch(offer?.url as string, { method: 'OPTIONS' })).status).to.equal(403);
    expect((await finalize(id)).status).to.equal(409);
    await call('POST', `/v1/jobs/${id}/resume`);
    for (; view.upload == null; view = await job(id));
    expect(view.upload.durable).to.deep.equal([[0, 2 * MiB]]);
    await put(view.upload.url, 2 * MiB, image.subarray(2 * MiB));
    await finalize(id);
    expect((await service.ended(id)).state).to.equal('completed');
    expect((await readFile(dir.join('paused.img'))).equals(image)).to.equal(true);
  });

  it('lends a source to a client until that has read it', async () => {
    const image = patternBytes(6, SIZE);
    await writeFile(dir.join('source.img'), image);
    const { id, download } = await submit({ kind: 'download', source: { type: 'file', path: dir.join('source.img') } });
    const read = Buffer.from(await (await fetch(download?.url as string)).arrayBuffer());
    expect(read.equals(image)).to.equal(true);
    expect((await put(download?.url as string, 0, image, false)).status).to.equal(403);
    const checksum = { algorithm: 'sha256', blockSize: MiB, checksum: blockChecksum(image, MiB) };
    expect((await finalize(id, { checksum })).json.code, 'nobody would compare it').to.equal('NOT_SUPPORTED');
    await finalize(id);
    const done = await service.ended(id);
    expect(done.state).to.equal('completed');
    expect(done.result?.copiedBytes).to.equal(SIZE);
  });

  it('reserves the space of a preallocated file that the client leaves empty, and none of a sparse one', async () => {
    for (const allocation of ['preallocated', 'sparse'] as const) {
      const path = dir.join(`${allocation}.img`);
      const { id } = await upload(`${allocation}.img`, { options: { allocation } });
      await finalize(id);
      expect((await service.ended(id)).state).to.equal('completed');
      const { size, blocks } = await stat(path);
      expect(size).to.equal(SIZE);
      expect(blocks * 512 >= SIZE).to.equal(allocation === 'preallocated');
    }
  });

  needsLoop('sends onto a block device and zeroes its tail', async () => {
    await using device = await attachLoop({ size: 8 * MiB, sectorSize: 512 });
    await writeFile(device.path, Buffer.alloc(8 * MiB, 0xee));
    await using own = await startService({ roots: [device.path], env: { FERRY_IMAGES_HOST: '127.0.0.1' } });
    const target = { type: 'block' as const, path: device.path };
    const { id, upload: offer } = await own.submit({ kind: 'upload', source: { type: 'client', size: SIZE }, target });
    await put(offer?.url as string, 0, patternBytes(7, SIZE));
    await own.fetch(`/v1/jobs/${id}/finalize`, { method: 'POST' });
    expect((await own.ended(id)).state).to.equal('completed');
    const expected = Buffer.concat([patternBytes(7, SIZE), Buffer.alloc(8 * MiB - SIZE)]);
    expect((await readFile(device.path)).equals(expected)).to.equal(true);
  });

  it('survives a node that dies: another offers again, and only what was not durable is sent again', async () => {
    const env = { FERRY_IMAGES_HOST: '127.0.0.1' };
    await using cluster = await Cluster.start({ roots: [dir.path], nodes: ['a', 'b'], env });
    const image = patternBytes(8, SIZE);
    const request = {
      kind: 'upload' as const,
      source: { type: 'client' as const, size: SIZE },
      target: { type: 'file' as const, path: dir.join('taken-over.img') },
    };
    const id = await cluster.submit(request);
    const first = await cluster.until(id, 'it is offered', ({ offer }) => offer !== null);
    await put(first.offer?.url as string, 0, image.subarray(0, 2 * MiB));
    await cluster.until(id, 'it is durable', ({ checkpoint }) => checkpoint?.copied[1] === 2 * MiB);
    await cluster.kill(first.node as string);
    const second = await cluster.until(id, 'another has it', ({ offer, attempt }) => offer !== null && attempt === 2);
    expect(second.node).to.not.equal(first.node);
    const { upload: offer } = await cluster.job(id);
    expect(offer?.durable).to.deep.equal([[0, 2 * MiB]]);
    await put(offer?.url as string, 2 * MiB, image.subarray(2 * MiB));
    await cluster.request('POST', `/v1/jobs/${id}/finalize`, {});
    expect((await cluster.ended(id)).state).to.equal('completed');
    expect((await readFile(dir.join('taken-over.img'))).equals(image)).to.equal(true);
  });

  const refusals: readonly (readonly [string, object, string])[] = [
    ['a size of nothing', { source: { type: 'client', size: 0 } }, 'source.size'],
    ['a bandwidth limit', { options: { bandwidthBytesPerSecond: MiB } }, 'options.bandwidthBytesPerSecond'],
    ['verify', { options: { verify: true } }, 'options.verify'],
    ['another format', { source: { type: 'client', size: SIZE, format: 'qcow2' } }, 'source.format'],
  ];
  for (const [what, more, field] of refusals) {
    it(`refuses ${what} and names the field`, async () => {
      const request = {
        kind: 'upload',
        source: { type: 'client', size: SIZE },
        target: { type: 'file', path: dir.join('refused.img') },
        ...more,
      };
      const { status, json } = await call('POST', '/v1/jobs', request);
      expect(status).to.equal(400);
      expect((json.errors as { field: string }[]).map((error) => error.field)).to.deep.equal([field]);
    });
  }

  it('finalizes nothing that has no client, and takes no checksum that it cannot compute', async () => {
    await truncate(await made('empty.img'), MiB);
    const { id } = await submit({ kind: 'zero', target: { type: 'file', path: dir.join('empty.img') } });
    expect((await finalize(id)).status).to.equal(409);
    const unknown = await finalize(id, { checksum: { algorithm: 'crc32', blockSize: MiB, checksum: 'aa' } });
    expect(unknown.status).to.equal(400);
    expect((await finalize('01890000-0000-7000-8000-000000000000')).status).to.equal(404);
    const dry = await call('POST', '/v1/jobs?dryRun=true', {
      kind: 'download',
      source: { type: 'file', path: dir.join('empty.img') },
    });
    expect(dry.json.code).to.equal('NOT_SUPPORTED');
  });

  async function made(name: string): Promise<string> {
    await makeImage(dir.join(name), MiB, []);
    return dir.join(name);
  }
});

async function put(url: string, start: number, bytes: Uint8Array, expectOk = true): Promise<Response> {
  const headers = { 'content-range': `bytes ${start}-*/*` };
  const answer = await fetch(`${url}?flush=n`, { method: 'PUT', body: bytes, headers });
  if (expectOk) expect(answer.status, await answer.clone().text()).to.equal(200);
  return answer;
}

/** As the protocol defines it. */
function blockChecksum(image: Buffer, blockSize: number): string {
  const hash = createHash('sha256');
  for (let at = 0; at < image.length; at += blockSize) {
    hash.update(
      createHash('sha256')
        .update(image.subarray(at, at + blockSize))
        .digest(),
    );
  }
  return hash.digest('hex');
}
