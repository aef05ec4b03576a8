/** What the README promises, against a running `ferry serve`: submit, poll, complete, compare. */

import { stat } from 'node:fs/promises';
import { expect } from 'chai';
import type { JobView } from '../../shared/schemas/job.js';
import { allocatedBytes, assertSameBytes, assertZero, fill, makeImage } from '../helpers/bytes.js';
import { attachLoop, needsLoop } from '../helpers/loop.js';
import { type Service, startService } from '../helpers/service.js';
import { type TempDir, tempDir } from '../helpers/temp.js';

const MiB = 1024 * 1024;
const SIZE = 64 * MiB;

describe('ferry serve imports images', function () {
  this.timeout(60_000);
  let dir: TempDir;
  let service: Service;
  let source: string;

  before(async () => {
    dir = await tempDir();
    source = dir.join('source.img');
    await makeImage(source, SIZE, [
      { start: 0, length: 3 * MiB, seed: 1 },
      { start: 20 * MiB, length: 70_000, seed: 2 },
      { start: SIZE - 4096, length: 4096, seed: 3 },
    ]);
    service = await startService({ roots: [dir.path, '/dev'] });
  });

  after(async () => {
    await service?.[Symbol.asyncDispose]();
    await dir?.release();
  });

  for (const sectorSize of [512, 4096] as const) {
    needsLoop(`onto a block device with sectors of ${sectorSize} bytes`, async () => {
      await using device = await attachLoop({ size: SIZE + 8 * MiB, sectorSize });
      await fill(device.path, { start: 0, length: device.size, seed: 9 });
      const { id } = await service.submit({
        kind: 'upload',
        source: { type: 'file', path: source },
        target: { type: 'block', path: device.path },
        options: { verify: true },
      });
      const job = await service.ended(id);
      expect(job.error).to.equal(undefined);
      expect(job.state).to.equal('completed');
      expect(job.progress?.percent).to.equal(100);
      expect(job.progress?.durableBytes).to.equal(device.size);
      expect(job.result?.checksum?.algorithm).to.equal('sha256');
      await assertSameBytes(source, device.path, SIZE);
      await assertZero(device.path, SIZE, 8 * MiB);
    });
  }

  it('onto a new sparse file that keeps the holes', async () => {
    const target = dir.join('sparse.img');
    const { id } = await service.submit({
      kind: 'upload',
      source: { type: 'file', path: source },
      target: { type: 'file', path: target },
      options: { allocation: 'sparse' },
    });
    const job = await service.ended(id);
    expect(job.state).to.equal('completed');
    expect(job.result?.plan?.strategy).to.equal('no-zero');
    expect(job.result?.plan?.proof).to.equal('created');
    await assertSameBytes(source, target);
    expect(await allocatedBytes(target)).to.be.at.most((await allocatedBytes(source)) + MiB);
    expect((await stat(target)).mode & 0o077, 'nobody else may read a guest’s disk').to.equal(0);
  });

  it('zeroes ranges of a file and leaves the rest alone', async () => {
    const [target, expected] = [dir.join('zero.img'), dir.join('expected.img')];
    for (const path of [target, expected]) await makeImage(path, 8 * MiB, [{ start: 0, length: 8 * MiB, seed: 5 }]);
    const ranges = [
      { start: MiB + 7, length: 2 * MiB },
      { start: 5 * MiB, length: 100 },
    ];
    const { id } = await service.submit({ kind: 'zero', target: { type: 'file', path: target }, ranges });
    expect((await service.ended(id)).state).to.equal('completed');
    for (const range of ranges) await assertZero(target, range.start, range.length);
    const { open } = await import('node:fs/promises');
    await using file = await open(expected, 'r+');
    for (const range of ranges) await file.write(Buffer.alloc(range.length), 0, range.length, range.start);
    await assertSameBytes(expected, target);
  });

  it('answers a dry run with a plan and touches nothing', async () => {
    const target = dir.join('never.img');
    const body = { kind: 'upload', source: { type: 'file', path: source }, target: { type: 'file', path: target } };
    const headers = { 'content-type': 'application/json' };
    const answer = await service.fetch('/v1/jobs?dryRun=true', { method: 'POST', headers, body: JSON.stringify(body) });
    expect(answer.status).to.equal(200);
    const plan = (await answer.json()) as { imageBytes: number; extents: number };
    expect(plan.imageBytes).to.equal(SIZE);
    expect(plan.extents).to.equal(3);
    expect(await stat(target).catch((error: NodeJS.ErrnoException) => error.code)).to.equal('ENOENT');
  });

  it('tells a follower everything over Server-Sent Events, and ends the stream with the job', async () => {
    const { id } = await service.submit({
      kind: 'upload',
      source: { type: 'file', path: source },
      target: { type: 'file', path: dir.join('events.img') },
    });
    const answer = await service.fetch(`/v1/jobs/${id}/events`);
    expect(answer.headers.get('content-type')).to.match(/^text\/event-stream/);
    const text = await answer.text();
    const views = [...text.matchAll(/^data:\s*(\{.*)$/gm)].map((match) => JSON.parse(match[1] as string) as JobView);
    expect(views.at(-1)?.state).to.equal('completed');
  });
});
