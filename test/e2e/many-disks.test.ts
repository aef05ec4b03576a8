/** A batch as a migration wave has it: many disks of all sizes, some of which cannot work. Each says why, none harms another. */

import { constants } from 'node:fs';
import { access, copyFile, mkdir, open } from 'node:fs/promises';
import { expect } from 'chai';
import type { BatchRequestInput, BatchView } from '../../shared/schemas/batch.js';
import type { JobState } from '../../shared/schemas/job.js';
import { storageName } from '../../shared/storage-name.js';
import { assertSameBytes, assertZero, fill, makeImage } from '../helpers/bytes.js';
import { lend } from '../helpers/cleanup.js';
import { Cluster, isOver } from '../helpers/cluster.js';
import { run, runSync } from '../helpers/command.js';
import { attachLoop, needsLoop } from '../helpers/loop.js';
import { mountFileSystem } from '../helpers/mounts.js';
import { type TempDir, tempDir } from '../helpers/temp.js';

const MiB = 1024 * 1024;
const SIZES = [4 * MiB, 9 * MiB + 512, 16 * MiB, 25 * MiB, 40 * MiB];
const MOST = 6;

type VmInput = BatchRequestInput['vms'][number];
type DiskInput = VmInput['disks'][number];

/** A disk of the batch, and what must come of it. */
interface Disk {
  readonly input: DiskInput;
  readonly size: number;
  /** Bytes of the target behind the image. */
  readonly tail: number;
  readonly code?: string;
}

describe('a batch of many disks', function () {
  this.timeout(120_000);
  let dir: TempDir;
  let cluster: Cluster;
  const borrowed: AsyncDisposable[] = [];

  before(async () => {
    dir = await tempDir();
    for (const [at, size] of SIZES.entries()) {
      await makeImage(dir.join(`source-${at}.img`), size, [
        { start: 0, length: 2 * MiB + 100, seed: at + 1 },
        { start: size - MiB, length: MiB, seed: at + 10 },
      ]);
    }
    cluster = await Cluster.start({ roots: [dir.path, '/dev', '/tmp'], nodes: ['a', 'b'] });
  });

  after(async () => {
    await cluster?.stop();
    for (const loan of borrowed.toReversed()) await loan[Symbol.asyncDispose]();
    await dir?.release();
  });

  const keep = <T extends AsyncDisposable>(loan: T): T => {
    borrowed.push(loan);
    return loan;
  };
  const file = (name: string): DiskInput['target'] => ({ type: 'file', path: dir.join(name) });
  const source = (at: number): DiskInput['source'] => ({ type: 'file', path: dir.join(`source-${at}.img`) });

  /** Every third one onto a device, every third over old data, every second sparse. */
  async function goodDisk(number: number): Promise<Disk> {
    const at = number % SIZES.length;
    const size = SIZES[at] as number;
    const tail = number % 2 === 0 ? 2 * MiB : 0;
    const options = { allocation: number % 2 === 0 ? 'sparse' : 'preallocated' } as const;
    if (number % 3 === 0) {
      const { path } = keep(await attachLoop({ size: size + tail }));
      await fill(path, { start: 0, length: size + tail, seed: 99 });
      return { input: { source: source(at), target: { type: 'block', path }, options }, size, tail };
    }
    const path = dir.join(`disk-${number}.img`);
    if (number % 3 === 1)
      return { input: { source: source(at), target: { type: 'file', path }, options }, size, tail: 0 };
    await makeImage(path, size + tail, [{ start: 0, length: size + tail, seed: 99 }]);
    return { input: { source: source(at), target: { type: 'file', path }, options }, size, tail };
  }

  const bad = (code: string, input: DiskInput): Disk => ({ input, size: 0, tail: 0, code });

  async function smallDevice(): Promise<string> {
    return keep(await attachLoop({ size: 8 * MiB })).path;
  }

  async function mountedDevice(): Promise<{ path: string; unmount(): Promise<void> }> {
    const { path } = keep(await attachLoop({ size: 16 * MiB }));
    await run('mkfs.ext4', ['-q', '-F', path]);
    await mkdir(dir.join('mounted'));
    await run('mount', [path, dir.join('mounted')]);
    const loan = keep(lend(`mount of ${path}`, () => runSync('umount', [path])));
    return { path, unmount: loan.release };
  }

  /** Reads the batch again and again until it has ended; every view of it must add up. */
  async function follow(id: string, disks: number): Promise<BatchView> {
    for (;;) {
      const batch = await cluster.batch(id);
      const states = batch.vms.flatMap((vm) => vm.disks.map(({ state }) => state));
      expect(states).to.have.length(disks);
      for (const [state, count] of Object.entries(batch.counts)) {
        expect(states.filter((other) => other === state).length, state).to.equal(count);
      }
      expect(batch.counts.active).to.be.at.most(batch.maxConcurrentDisks);
      for (const vm of batch.vms) expect(vm.state, vm.name).to.be.oneOf(statesOf(vm.disks.map(({ state }) => state)));
      if (isOver(batch)) return batch;
    }
  }

  needsLoop('completes those that can work, and names the reason of each that cannot', async () => {
    const small = keep(await mountFileSystem('tmpfs', 8 * MiB));
    const mounted = await mountedDevice();
    const held = keep(await attachLoop({ size: 16 * MiB }));
    const holder = await open(held.path, constants.O_RDWR | constants.O_EXCL);
    keep(holder);
    const missing = dir.join('missing.img');
    const failing = new Map<number, Disk>([
      [4, bad('STORAGE_FULL', { source: source(2), target: { type: 'file', path: `${small.path}/full.img` } })],
      [12, bad('PATH_NOT_FOUND', { source: { type: 'file', path: missing }, target: file('of-missing.img') })],
      [17, bad('TARGET_BUSY', { source: source(0), target: { type: 'block', path: mounted.path } })],
      [22, bad('TARGET_BUSY', { source: source(0), target: { type: 'block', path: held.path } })],
      [23, bad('TARGET_TOO_SMALL', { source: source(4), target: { type: 'block', path: await smallDevice() } })],
    ]);
    const disks: Disk[] = [];
    for (let number = 0; number < 30; number++) disks.push(failing.get(number) ?? (await goodDisk(number)));
    const id = await cluster.submitBatch({ name: 'wave', vms: threeEach(disks), maxConcurrentDisks: MOST });
    const batch = await follow(id, 30);

    expect(batch.state).to.equal('failed');
    expect(batch.counts).to.include({ completed: 25, failed: 5, canceled: 0 });
    const ended = batch.vms.flatMap((vm) => vm.disks);
    expect(ended.map(({ error }) => error?.code)).to.deep.equal(disks.map(({ code }) => code));
    expect(batch.vms.map(({ state }) => state === 'failed')).to.deep.equal(
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((vm) => [1, 4, 5, 7].includes(vm)),
    );
    for (const [at, disk] of disks.entries()) {
      if (disk.code === undefined) await expectCopied(disk);
      else expect((await cluster.job(ended[at]?.jobId as string)).attempt, 'trying again would not help').to.equal(1);
    }

    // What was in the way goes; only the disk that has no room and the one that is too small still fail.
    await copyFile(dir.join('source-1.img'), missing);
    await mounted.unmount();
    await holder.close();
    await cluster.request('POST', `/v1/batches/${id}/retry`);
    const again = await follow(id, 30);
    expect(again.counts).to.include({ completed: 28, failed: 2 });
    await assertSameBytes(missing, dir.join('of-missing.img'));
    for (const { path } of [mounted, held]) await assertSameBytes(dir.join('source-0.img'), path, SIZES[0]);
  });

  it('with onFailure: stop cancels what has not started, and lets what runs end', async () => {
    const slow = { source: source(3), target: file('slow.img'), options: { bandwidthBytesPerSecond: MiB } };
    const missing: DiskInput = { source: { type: 'file', path: dir.join('never.img') }, target: file('never.out') };
    const waiting = [0, 1, 2, 3].map((at): DiskInput => ({ source: source(at), target: file(`waiting-${at}.img`) }));
    const vms = [slow, missing, ...waiting].map((disk, at): VmInput => ({ name: `vm-${at}`, disks: [disk] }));
    const id = await cluster.submitBatch({ name: 'stops', vms, maxConcurrentDisks: 2, onFailure: 'stop' });
    const batch = await follow(id, 6);
    expect(batch.state).to.equal('failed');
    const states: JobState[] = ['completed', 'failed', 'canceled', 'canceled', 'canceled', 'canceled'];
    expect(batch.vms.map(({ state }) => state)).to.deep.equal(states);
    await assertSameBytes(dir.join('source-3.img'), dir.join('slow.img'));
    for (const at of waiting.keys()) {
      expect(await access(dir.join(`waiting-${at}.img`)).catch(() => 'not there')).to.equal('not there');
    }
  });

  async function expectCopied({ input, size, tail }: Disk): Promise<void> {
    await assertSameBytes(storageName(input.source), storageName(input.target), size);
    await assertZero(storageName(input.target), size, tail);
  }
});

/** What a VM may be when its disks are these. */
function statesOf(disks: readonly JobState[]): readonly JobState[] {
  const left = disks.filter((state) => ['queued', 'active', 'paused'].includes(state));
  if (left.length > 0) return ['queued', 'active', 'paused'];
  if (disks.includes('failed')) return ['failed'];
  return disks.includes('canceled') ? ['canceled'] : ['completed'];
}

function threeEach(disks: readonly Disk[]): VmInput[] {
  return Array.from({ length: disks.length / 3 }, (_, vm) => ({
    name: `vm-${vm}`,
    disks: disks.slice(3 * vm, 3 * vm + 3).map(({ input }) => input),
  }));
}
