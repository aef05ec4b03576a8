/** A node that is killed in the middle of a job: the next attempt does only what the last checkpoint does not cover. */
import { expect } from 'chai';
import type { Checkpoint } from '../../shared/queue/checkpoint.js';
import type { JobRequestInput, TargetInput } from '../../shared/schemas/job.js';
import { assertSameBytes, assertZero, fill, makeImage } from '../helpers/bytes.js';
import { Cluster } from '../helpers/cluster.js';
import { hasCommand } from '../helpers/command.js';
import { attachLoop, hasLoopDevices } from '../helpers/loop.js';
import { memoryDisk, needsMemoryDisk } from '../helpers/memory-disk.js';
import { isRoot, needs } from '../helpers/needs.js';
import { type TempDir, tempDir } from '../helpers/temp.js';
import { type TracedCall, traceCalls } from '../helpers/traced-calls.js';

const MiB = 1024 * 1024;
const SIZE = 96 * MiB;
const TAIL = 16 * MiB;
const RATE = 32 * MiB;
const needsTracing = needs(isRoot && hasCommand('strace') && hasLoopDevices, 'root, strace and a free loop device');

describe('a job whose node is killed after a checkpoint', function () {
  this.timeout(60_000);
  let dir: TempDir;
  let source: string;

  before(async () => {
    dir = await tempDir();
    source = dir.join('source.img');
    await makeImage(source, SIZE, [
      { start: 0, length: 40 * MiB, seed: 1 },
      { start: 44 * MiB, length: SIZE - 44 * MiB, seed: 2 },
    ]);
  });

  after(async () => {
    await dir?.release();
  });

  const upload = (target: TargetInput, options: object = {}): JobRequestInput => ({
    kind: 'upload',
    source: { type: 'file', path: source },
    target,
    options: { bandwidthBytesPerSecond: RATE, ...options },
  });

  /** Kills the only node when a third is on record as copied; traces the next one on the target. */
  async function killAndTrace(cluster: Cluster, id: string, path: string) {
    await cluster.until(id, 'a third is copied', ({ checkpoint }) => covered(checkpoint?.copied) >= SIZE / 3);
    await cluster.kill('a');
    const { checkpoint } = await cluster.record(id);
    await cluster.startProgram('a');
    await using trace = await traceCalls(cluster.pid('a'), path);
    expect((await cluster.record(id)).attempt, 'traced before it goes on').to.equal(1);
    const job = await cluster.ended(id);
    return { job, checkpoint: checkpoint as Checkpoint, calls: await trace.end() };
  }

  function expectNothingTwice(calls: readonly TracedCall[], { zeroed, copied }: Checkpoint): void {
    const writes = calls.filter(({ name }) => name === 'pwrite64');
    expect(writes).to.not.deep.equal([]);
    for (const write of writes) expect(overlap(write, copied), `written again: ${JSON.stringify(write)}`).to.equal(0);
    for (const zero of calls.filter(({ name }) => name === 'fallocate')) {
      expect(overlap(zero, copied), `zeroed what was copied: ${JSON.stringify(zero)}`).to.equal(0);
      expect(overlap(zero, zeroed), `zeroed again: ${JSON.stringify(zero)}`).to.equal(0);
    }
  }

  needsTracing('writes nothing again on a device full of old data', async () => {
    await using device = await attachLoop({ size: SIZE + TAIL });
    await fill(device.path, { start: 0, length: device.size, seed: 9 });
    // A lease that is long enough to attach to the next node before it has the job.
    await using cluster = await Cluster.start({ roots: [dir.path, device.path], env: { FERRY_LEASE_MS: '6000' } });
    const id = await cluster.submit(upload({ type: 'block', path: device.path }));
    const { job, checkpoint, calls } = await killAndTrace(cluster, id, device.path);
    expect(job.state).to.equal('completed');
    expect(job.attempt).to.equal(2);
    expectNothingTwice(calls, checkpoint);
    expect(job.result?.resumedBytes).to.be.at.least(SIZE / 3);
    await assertSameBytes(source, device.path, SIZE);
    await assertZero(device.path, SIZE, TAIL);
  });

  needsTracing('writes nothing again in a sparse file that the first attempt made', async () => {
    const path = dir.join('sparse.img');
    await using cluster = await Cluster.start({ roots: [dir.path], env: { FERRY_LEASE_MS: '6000' } });
    const id = await cluster.submit(upload({ type: 'file', path }, { allocation: 'sparse' }));
    const { job, checkpoint, calls } = await killAndTrace(cluster, id, path);
    expect(job.state).to.equal('completed');
    expect(job.result?.plan?.proof, 'what was proven then still holds').to.equal('created');
    expectNothingTwice(calls, checkpoint);
    const { copiedBytes = 0, resumedBytes = 0, plan } = job.result ?? {};
    expect(copiedBytes + resumedBytes).to.equal(plan?.dataBytes);
    await assertSameBytes(source, path);
  });

  needsMemoryDisk('zeroes nothing again where zeroes have to be written', async () => {
    await using device = await memoryDisk(SIZE);
    await fill(device.path, { start: 0, length: SIZE, seed: 9 });
    await using cluster = await Cluster.start({ roots: [device.path] });
    const target = { type: 'block' as const, path: device.path };
    const id = await cluster.submit({ kind: 'zero', target, options: { bandwidthBytesPerSecond: RATE } });
    await cluster.until(id, 'a third is zeroed', ({ checkpoint }) => covered(checkpoint?.zeroed) >= SIZE / 3);
    await cluster.kill('a');
    const { checkpoint } = await cluster.record(id);
    await cluster.startProgram('a');
    const { state, result } = await cluster.ended(id);
    expect(state).to.equal('completed');
    const zeroed = result?.zeroed.reduce((bytes, use) => bytes + use.bytes, 0);
    expect(result?.resumedBytes).to.equal(covered(checkpoint?.zeroed));
    expect(zeroed).to.equal(SIZE - covered(checkpoint?.zeroed));
    await assertZero(device.path, 0, SIZE);
  });

  it('is taken over by another node, which goes on from there', async () => {
    const path = dir.join('taken-over.img');
    await using cluster = await Cluster.start({ roots: [dir.path], nodes: ['a', 'b'] });
    const id = await cluster.submit(upload({ type: 'file', path }));
    const { node } = await cluster.until(id, 'a third is copied', (job) => covered(job.checkpoint?.copied) >= SIZE / 3);
    await cluster.kill(node as string);
    const job = await cluster.ended(id);
    expect(job.state).to.equal('completed');
    expect(job.node).to.not.equal(node);
    expect(job.result?.resumedBytes).to.be.at.least(SIZE / 3);
    await assertSameBytes(source, path);
  });

  it('goes on from all that it did when its node was asked to end', async () => {
    const path = dir.join('asked.img');
    // Only the checkpoint of the orderly end can have been made.
    await using cluster = await Cluster.start({ roots: [dir.path], env: { FERRY_FLUSH_INTERVAL_MS: '60000' } });
    const id = await cluster.submit(upload({ type: 'file', path }));
    await cluster.until(id, 'a third is done', ({ progress }) => (progress?.doneBytes ?? 0) >= SIZE / 3);
    await cluster.end('a', 'SIGTERM');
    await cluster.startProgram('a');
    const job = await cluster.ended(id);
    expect(job.state).to.equal('completed');
    expect(job.result?.resumedBytes).to.be.greaterThan(SIZE / 4);
    await assertSameBytes(source, path);
  });
});

/** Bytes of packed ranges. */
function covered(packed: readonly number[] = []): number {
  return packed.reduce((bytes, value, at) => (at % 2 === 0 ? bytes : bytes + value), 0);
}

/** Bytes that a range has in common with packed ranges. */
function overlap({ start, length }: { start: number; length: number }, packed: readonly number[]): number {
  let common = 0;
  for (let at = 0; at < packed.length; at += 2) {
    const [from = 0, bytes = 0] = packed.slice(at, at + 2);
    common += Math.max(0, Math.min(start + length, from + bytes) - Math.max(start, from));
  }
  return common;
}
