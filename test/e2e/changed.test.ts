/** Source or target is not what it was when a job was interrupted: it is seen, and the job starts from the beginning. */
import { copyFile, rename, stat, utimes } from 'node:fs/promises';
import { expect } from 'chai';
import type { JobRequestInput, JobView, TargetInput } from '../../shared/schemas/job.js';
import { assertSameBytes, assertZero, fill, makeImage } from '../helpers/bytes.js';
import { Cluster } from '../helpers/cluster.js';
import { hasCommand } from '../helpers/command.js';
import { attachLoop, needsLoop } from '../helpers/loop.js';
import { isRoot, needs } from '../helpers/needs.js';
import { type TempDir, tempDir } from '../helpers/temp.js';
import { injectFaults } from '../helpers/tracer.js';

const MiB = 1024 * 1024;
const SIZE = 48 * MiB;
const needsTracing = needs(isRoot && hasCommand('strace'), 'root and strace');

describe('a job that was interrupted, and what changed meanwhile', function () {
  this.timeout(60_000);
  let dir: TempDir;
  let cluster: Cluster;
  let source: string;
  let path: string;
  let count = 0;

  before(async () => {
    dir = await tempDir();
    cluster = await Cluster.start({ roots: [dir.path, '/dev'] });
  });

  after(async () => {
    await cluster?.stop();
    await dir?.release();
  });

  beforeEach(async () => {
    count += 1;
    source = dir.join(`source-${count}.img`);
    path = dir.join(`target-${count}.img`);
    await image(source, SIZE, count);
  });

  const file = (): TargetInput => ({ type: 'file', path });

  function upload(from: string, target: TargetInput, options: object = {}): JobRequestInput {
    return { kind: 'upload', source: { type: 'file', path: from }, target, options };
  }

  /** Submits a slow job and waits until a third of it is on record as durable. */
  async function halfWay(target: TargetInput): Promise<string> {
    const id = await cluster.submit(upload(source, target, { bandwidthBytesPerSecond: 16 * MiB }));
    await cluster.until(id, 'a third is durable', ({ checkpoint }) => (checkpoint?.copied[1] ?? 0) >= SIZE / 3);
    return id;
  }

  async function pause(id: string): Promise<void> {
    await cluster.request('POST', `/v1/jobs/${id}/pause`);
    await cluster.until(id, 'it is paused', ({ state }) => state === 'paused');
  }

  /** Lets the job go on at full speed. @returns how it ended */
  async function goOn(id: string): Promise<JobView> {
    await cluster.request('PATCH', `/v1/jobs/${id}`, { bandwidthBytesPerSecond: null });
    const { state } = await cluster.job(id);
    if (state === 'paused') await cluster.request('POST', `/v1/jobs/${id}/resume`);
    return await cluster.ended(id);
  }

  /** It did everything anew, and said why. */
  function expectAnew(job: JobView, reason: RegExp): void {
    expect(job.state).to.equal('completed');
    expect(job.result?.resumedBytes).to.equal(0);
    const said = cluster
      .nodeLog()
      .find(({ job: id, msg }) => id === job.id && msg === 'starts again from the beginning');
    expect(said?.reason).to.match(reason);
  }

  const changes: [string, RegExp, () => Promise<number>][] = [
    [
      'other content and its old time of change',
      /^the source was written/,
      async () => {
        const { atime, mtime } = await stat(source);
        await fill(source, { start: 0, length: SIZE, seed: 77 });
        await utimes(source, atime, mtime);
        return SIZE;
      },
    ],
    ['another size', /^the source had/, () => image(source, SIZE + 8 * MiB, 78)],
    ['a smaller size', /^the source had/, () => image(source, SIZE - 8 * MiB, 79)],
    [
      'another file in its place',
      /^the source is another/,
      async () => {
        await image(`${source}.new`, SIZE, 80);
        await rename(`${source}.new`, source);
        return SIZE;
      },
    ],
  ];
  for (const [what, reason, change] of changes) {
    it(`starts again when its source has ${what}`, async () => {
      const id = await halfWay(file());
      await cluster.kill('a');
      const size = await change();
      await cluster.startProgram('a');
      expectAnew(await goOn(id), reason);
      await assertSameBytes(source, path, size);
      // A file keeps the size that it has, and its tail is zeroed.
      await assertZero(path, size, (await stat(path)).size - size);
    });
  }

  it('starts again when another job wrote its target', async () => {
    const id = await halfWay(file());
    await pause(id);
    const other = `${source}.other`;
    await image(other, SIZE, 81);
    expect((await cluster.ended(await cluster.submit(upload(other, file())))).state).to.equal('completed');
    await assertSameBytes(other, path);
    expectAnew(await goOn(id), /^another job/);
    await assertSameBytes(source, path);
  });

  needsTracing('starts again although the attempt that saw the other job was killed before it wrote', async () => {
    // Symptom: a job of wrong bytes was completed. The second attempt had taken the target over from the other job,
    // so the third one no longer saw that there had been one, and went on from the first one's checkpoint.
    const id = await halfWay(file());
    await pause(id);
    const other = `${source}.other`;
    await image(other, SIZE, 82);
    expect((await cluster.ended(await cluster.submit(upload(other, file())))).state).to.equal('completed');
    const slow = await injectFaults(cluster.pid('a'), 'lseek:delay_enter=1000000');
    await cluster.request('POST', `/v1/jobs/${id}/resume`);
    await cluster.until(id, 'it has the target again', ({ phase }) => phase === 'mapping');
    await cluster.kill('a');
    await slow.detach();
    await cluster.startProgram('a');
    const job = await goOn(id);
    expect(job.state).to.equal('completed');
    expect(job.attempt).to.equal(3);
    expect(job.result?.resumedBytes).to.equal(0);
    await assertSameBytes(source, path);
  });

  it('starts again when a program wrote to its file while it was paused', async () => {
    const id = await halfWay(file());
    await pause(id);
    await fill(path, { start: MiB, length: MiB, seed: 83 });
    expectAnew(await goOn(id), /^the target was written/);
    await assertSameBytes(source, path);
  });

  needsLoop('starts again when a program wrote to its device while it was paused', async () => {
    await using device = await attachLoop({ size: SIZE });
    const id = await halfWay({ type: 'block', path: device.path });
    await pause(id);
    await fill(device.path, { start: MiB, length: MiB, seed: 84 });
    expectAnew(await goOn(id), /^the target was written/);
    await assertSameBytes(source, device.path);
  });

  needsLoop('goes on where it was when nobody wrote to its device while it was paused', async () => {
    await using device = await attachLoop({ size: SIZE });
    const id = await halfWay({ type: 'block', path: device.path });
    await pause(id);
    await assertZero(device.path, SIZE - MiB, MiB);
    const job = await goOn(id);
    expect(job.result?.resumedBytes).to.be.at.least(SIZE / 3);
    await assertSameBytes(source, device.path);
  });

  it('starts again when its file was replaced while its node was dead, and leaves the old one alone', async () => {
    const id = await halfWay(file());
    await cluster.kill('a');
    await rename(path, `${path}.old`);
    await copyFile(`${path}.old`, `${path}.before`);
    await fill(await made(path, SIZE), { start: 0, length: SIZE, seed: 85 });
    await cluster.startProgram('a');
    expectAnew(await goOn(id), /^the target is another/);
    await assertSameBytes(source, path);
    await assertSameBytes(`${path}.old`, `${path}.before`);
  });
});

/** Data with a hole in it, by which a plan that does not zero would be found out. */
async function image(path: string, size: number, seed: number): Promise<number> {
  await makeImage(path, size, [
    { start: 0, length: 30 * MiB, seed },
    { start: 34 * MiB, length: size - 34 * MiB, seed: seed + 0.5 },
  ]);
  return size;
}

async function made(path: string, size: number): Promise<string> {
  await makeImage(path, size, []);
  return path;
}
