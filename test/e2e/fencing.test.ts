/**
 * A node that is frozen in the middle of a job, past its lease, and woken when another node has completed the job:
 * strace(1) shows that it writes nothing any more but, on each thread, the one call in which it was frozen.
 * Each node sees the disk through a device of its own: no lock of the operating system helps.
 * SIGSTOP lets a thread finish its call before it stops. To hold threads inside their calls, as a suspended machine
 * does, the tracer that delays the calls is stopped instead, and the node with it.
 * FENCE_ROUNDS=20 repeats each test so often, since where a freeze falls is a matter of chance.
 */
import { expect } from 'chai';
import type { JobPhase, JobRequestInput } from '../../shared/schemas/job.js';
import { assertSameBytes, assertZero, makeImage } from '../helpers/bytes.js';
import { Fleet, type FleetNode } from '../helpers/fleet.js';
import { freeze, hasOpen, threadsIn, wake } from '../helpers/processes.js';
import { needsSharedStorage, type SharedStorage, shareStorage } from '../helpers/shared-storage.js';
import { type TempDir, tempDir } from '../helpers/temp.js';
import { traceWrites, type WriteCall } from '../helpers/write-trace.js';
import { until } from '../integration/cli/programs.js';

const MiB = 1024 * 1024;
const SIZE = 384 * MiB;
const LEASE_MS = 1500;
const ROUNDS = Number(process.env.FENCE_ROUNDS ?? 1);
/** Of a job that is alone; a node leaves one more to short tasks. */
const THREADS = 4;
const SLOW = 8 * MiB;

describe('a node that is frozen past its lease', function () {
  this.timeout(90_000);
  let dir: TempDir;
  let storage: SharedStorage;
  let fleet: Fleet;
  let nodes: readonly [FleetNode, FleetNode];

  before(async () => {
    dir = await tempDir();
    await makeImage(dir.join('small.img'), MiB, [{ start: 0, length: MiB, seed: 3 }]);
    await makeImage(dir.join('data.img'), SIZE, [{ start: 0, length: SIZE, seed: 1 }]);
    await makeImage(dir.join('holes.img'), SIZE, [{ start: SIZE - 64 * MiB, length: 32 * MiB, seed: 2 }]);
    storage = await shareStorage(SIZE);
    const env = { FERRY_POOLS: 'default,a,b', FERRY_THREADS: `${THREADS + 1}`, FERRY_CONCURRENCY: '1' };
    fleet = await Fleet.start({ roots: [dir.path, storage.path], leaseMs: LEASE_MS, env });
    const start = (name: string, via: readonly string[]) =>
      fleet.startNode(name, { via, env: { FERRY_POOLS: `default,${name}` } });
    nodes = await Promise.all([start('a', storage.views[0]), start('b', storage.views[1])]);
  });

  afterEach(() => {
    // Whatever went wrong: the next test needs both.
    for (const node of nodes) wake(node.pid);
  });

  after(async () => {
    await fleet?.[Symbol.asyncDispose]();
    await storage?.[Symbol.asyncDispose]();
    await dir?.release();
  });

  const upload = (image: string): JobRequestInput => ({
    kind: 'upload',
    source: { type: 'file', path: dir.join(image) },
    target: { type: 'block', path: storage.path },
    options: { bandwidthBytesPerSecond: SLOW },
  });

  /** Waits until the job is in that phase. @returns the node that runs it, and the other one */
  async function runningIn(phase: JobPhase, id: string): Promise<readonly [FleetNode, FleetNode]> {
    const job = await fleet.api.until(id, (job) => job.phase === phase && (job.progress?.doneBytes ?? 0) > 0);
    return job.node === 'a' ? nodes : [nodes[1], nodes[0]];
  }

  /** Lets the job run at full speed, and freezes its node somewhere in that phase. */
  async function freezeIn(phase: JobPhase, id: string, node: FleetNode): Promise<void> {
    await fleet.api.change(id, { bandwidthBytesPerSecond: null });
    // Not an event that is waited for, but a while in which all threads work.
    await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 40));
    await freeze(node.pid);
    expect((await fleet.api.job(id)).phase, 'frozen in time').to.equal(phase);
  }

  /** Everything that Redis knows of a job. */
  async function record(id: string): Promise<Record<string, string>> {
    const redis = fleet.redis.client();
    const hash = await redis.hgetall(`ferry:job:${id}`);
    redis.disconnect();
    return hash;
  }

  /** @returns the calls that had an effect after the node was woken: at most one of each thread */
  function lateCalls(calls: readonly WriteCall[], wokeMs: number): WriteCall[] {
    const late = calls.filter(({ endedMs }) => endedMs === null || endedMs >= wokeMs);
    const threads = late.map(({ thread }) => thread);
    expect(threads, 'at most one call of each thread').to.deep.equal([...new Set(threads)]);
    return late;
  }

  async function expectUsable(node: FleetNode): Promise<void> {
    const target = dir.join(`next-${node.name}.img`);
    const source = { type: 'file' as const, path: dir.join('small.img') };
    const next = { kind: 'upload' as const, source, target: { type: 'file' as const, path: target }, pool: node.name };
    const { id } = await fleet.api.submit(next);
    expect((await fleet.api.ended(id)).state).to.equal('completed');
    await assertSameBytes(source.path, target);
  }

  /** The other node completes the job; then `wakeUp` wakes the frozen one, which is to find that it lost. */
  async function expectFenced(id: string, frozen: FleetNode, other: FleetNode, wakeUp: () => void): Promise<void> {
    const job = await fleet.api.ended(id);
    expect(job).to.deep.include({ state: 'completed', node: other.name });
    const before = await record(id);
    const said = frozen.stderr().length;
    wakeUp();
    await until('the woken node lets go of the target', () => !hasOpen(frozen.pid, storage.path));
    await until('its log tells', () => /another attempt owns/.test(frozen.stderr().slice(said)));
    expect(await record(id), 'the woken node reported nothing').to.deep.equal(before);
  }

  async function frozenAtFullSpeed(image: string, phase: JobPhase): Promise<void> {
    const { id } = await fleet.api.submit(upload(image));
    const [frozen, other] = await runningIn(phase, id);
    await freezeIn(phase, id, frozen);
    await using trace = await traceWrites(frozen.pid);
    let wokeMs = 0;
    await expectFenced(id, frozen, other, () => {
      wokeMs = wake(frozen.pid);
    });
    await trace.detach();
    lateCalls(await trace.calls(), wokeMs);
    await assertSameBytes(dir.join(image), storage.backing);
    await expectUsable(frozen);
  }

  async function frozenInsideCall(call: 'pwrite64' | 'fallocate', request: JobRequestInput): Promise<void> {
    const { id } = await fleet.api.submit(request);
    const [frozen, other] = await runningIn(call === 'pwrite64' ? 'copying' : 'zeroing', id);
    await using trace = await traceWrites(frozen.pid, `${call}:delay_enter=2000000`);
    await fleet.api.change(id, { bandwidthBytesPerSecond: null });
    // Each of the job's threads goes on with what is copied; what is left of the zeroing is one step.
    const least = call === 'pwrite64' ? THREADS : 1;
    await until('threads are held in their calls', () => threadsIn(frozen.pid, call) >= least);
    await freeze(trace.pid);
    let wokeMs = 0;
    await expectFenced(id, frozen, other, () => {
      wokeMs = wake(trace.pid);
    });
    await trace.detach();
    expect(lateCalls(await trace.calls(), wokeMs), 'the calls that were held').to.have.length.within(least, THREADS);
    await expectUsable(frozen);
  }

  for (let round = 1; round <= ROUNDS; round += 1) {
    needsSharedStorage(`writes nothing more when it is woken, frozen while it copied (${round})`, () =>
      frozenAtFullSpeed('data.img', 'copying'),
    );
    needsSharedStorage(`writes nothing more when it is woken, frozen while it zeroed (${round})`, () =>
      frozenAtFullSpeed('holes.img', 'zeroing'),
    );
    needsSharedStorage(`ends the one write in which it was frozen, and begins no other (${round})`, async () => {
      await frozenInsideCall('pwrite64', upload('data.img'));
      await assertSameBytes(dir.join('data.img'), storage.backing);
    });
    needsSharedStorage(`ends the one zeroing call in which it was frozen, and begins no other (${round})`, async () => {
      const options = { bandwidthBytesPerSecond: SLOW };
      await frozenInsideCall('fallocate', { kind: 'zero', target: { type: 'block', path: storage.path }, options });
      await assertZero(storage.backing, 0, SIZE);
    });
  }

  needsSharedStorage('keeps its target against another job on another node', async () => {
    const { api } = fleet;
    const first = await api.submit(upload('data.img'));
    const [, other] = await runningIn('copying', first.id);
    await using trace = await traceWrites(other.pid);
    // A node has room for one job.
    const second = await api.ended((await api.submit(upload('holes.img'))).id);
    expect(second.node).to.equal(other.name);
    expect(second.error?.code).to.equal('TARGET_BUSY');
    expect(second.error?.message).to.contain(first.id);
    await trace.detach();
    expect(await trace.calls(), 'the second job wrote nothing').to.deep.equal([]);
    await api.change(first.id, { bandwidthBytesPerSecond: null });
    expect((await api.ended(first.id)).state).to.equal('completed');
    await assertSameBytes(dir.join('data.img'), storage.backing);
  });
});
