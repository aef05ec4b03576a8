/** Every native call that can block is timed, on all threads at once, and none is lost. */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { expect } from 'chai';
import { MiB } from '../../../shared/units.js';
import { BOUNDS_SECONDS, CALLS, type Call, CallTimes } from '../../../workers/call-times.js';
import { loadNative, type NativeIo } from '../../../workers/native/index.js';
import { Workers } from '../../../workers/pool.js';
import { timedIo } from '../../../workers/timed-io.js';
import { FaultyIo } from '../../helpers/faulty-io.js';
import { request } from '../../helpers/targets.js';
import { tempDir } from '../../helpers/temp.js';

const calls = (times: CallTimes, call: Call) => times.read(call).counts.reduce((sum, count) => sum + count, 0);

describe('workers: times of native calls', () => {
  it('are counted in the bucket whose end they do not pass', () => {
    const times = new CallTimes();
    times.add('flush', 0);
    times.add('flush', 0.05);
    times.add('flush', 0.051);
    times.add('flush', 60_000);
    times.add('flush', 60_001);
    const { counts, sumSeconds } = times.read('flush');
    expect(counts).to.have.length(BOUNDS_SECONDS.length + 1);
    expect([counts[0], counts[1], counts.at(-2), counts.at(-1)]).to.deep.equal([2, 1, 1, 1]);
    expect(sumSeconds).to.be.closeTo(120.001101, 1e-9);
    for (const call of CALLS) if (call !== 'flush') expect(calls(times, call), call).to.equal(0);
  });

  it('lose nothing while several threads add', async function () {
    this.timeout(30_000);
    const times = new CallTimes();
    const url = new URL('../../../workers/call-times.js', import.meta.url).href;
    const code = `const { workerData, parentPort } = require('node:worker_threads');
      import(${JSON.stringify(url)}).then(({ CallTimes }) => {
        const times = new CallTimes(workerData);
        for (let i = 0; i < 100_000; i += 1) {
          times.add('read', 0.5);
          if (i % 2 === 0) times.add('write', 2000);
        }
        parentPort.postMessage('done');
      });`;
    const threads = Array.from({ length: 4 }, () => new Worker(code, { eval: true, workerData: times.memory }));
    await Promise.all(threads.map((thread) => once(thread, 'message')));
    expect(times.read('read').counts[3]).to.equal(400_000);
    expect(times.read('read').sumSeconds).to.be.closeTo(200, 1e-6);
    expect(calls(times, 'write')).to.equal(200_000);
    expect(times.read('write').sumSeconds).to.be.closeTo(400_000, 1e-6);
  });

  it('include calls that fail, and leave their errors as they are', () => {
    const faulty = new FaultyIo();
    faulty.refuse('fdatasync', 'EIO');
    const times = new CallTimes();
    expect(() => timedIo(times, faulty.io).fdatasync(3))
      .to.throw()
      .with.property('code', 'EIO');
    expect(calls(times, 'flush')).to.equal(1);
  });

  it('tell the ways to zero apart', () => {
    const times = new CallTimes();
    const native = loadNative();
    const io = timedIo(times, { ...native, fallocate() {} });
    const { FALLOC_FL_PUNCH_HOLE, FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE } = native.constants;
    io.fallocate(3, 0, 0, 4096);
    io.fallocate(3, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
    io.fallocate(3, FALLOC_FL_ZERO_RANGE, 0, 4096);
    for (const call of ['fallocate-allocate', 'fallocate-punch-hole', 'fallocate-zero-range'] as const)
      expect(calls(times, call), call).to.equal(1);
  });

  it('come of every call of the addon but those that only compute', () => {
    const native = loadNative();
    const timed = timedIo(new CallTimes());
    const untimed = Object.keys(native).filter(
      (name) => timed[name as keyof NativeIo] === native[name as keyof NativeIo],
    );
    const computing = ['adviseHugePages', 'alignmentOffset', 'copyBytes', 'drop', 'isZero'];
    expect(untimed.sort()).to.deep.equal([...computing, 'bindAbstract', 'connectAbstract', 'constants'].sort());
  });

  it('come of the tasks of a pool, whatever thread runs them', async function () {
    this.timeout(30_000);
    await using dir = await tempDir();
    await writeFile(dir.join('image'), Buffer.alloc(MiB, 1));
    const workers = new Workers({ threads: 2, bufferBytes: MiB });
    const { callTimes } = workers;
    const opening = { path: dir.join('image'), roots: [dir.path] };
    const sources = await Promise.all([1, 2, 3, 4].map(() => workers.run('openSource', opening)));
    expect(calls(callTimes, 'open')).to.equal(4);
    expect(calls(callTimes, 'lock')).to.equal(4);
    const control = new SharedArrayBuffer(1024);
    const target = await workers.run('openTarget', { ...request('file', dir.join('target'), MiB), control });
    expect(calls(callTimes, 'resize')).to.equal(1);
    await workers.run('flush', { target });
    // Of the file and of its directory.
    expect(calls(callTimes, 'flush')).to.equal(2);
    await workers.run('close', { handles: [...sources, target] });
    await workers.close();
  });
});
