/** A flush that fails: nobody knows what of the bytes since the last good one is on the disk, so none of it counts. */

import { expect } from 'chai';
import type { TargetInput } from '../../shared/schemas/job.js';
import { storageName } from '../../shared/storage-name.js';
import { assertSameBytes, makeImage } from '../helpers/bytes.js';
import { Cluster } from '../helpers/cluster.js';
import { hasCommand } from '../helpers/command.js';
import { attachLoop, hasLoopDevices } from '../helpers/loop.js';
import { isRoot, needs } from '../helpers/needs.js';
import { type TempDir, tempDir } from '../helpers/temp.js';
import { traceCalls } from '../helpers/traced-calls.js';

const MiB = 1024 * 1024;
const SIZE = 96 * MiB;
const needsTracing = needs(isRoot && hasCommand('strace') && hasLoopDevices, 'root, strace and a free loop device');

describe('a job whose target cannot be flushed any more', function () {
  this.timeout(60_000);
  let dir: TempDir;
  let cluster: Cluster;
  let source: string;

  before(async () => {
    dir = await tempDir();
    source = dir.join('source.img');
    await makeImage(source, SIZE, [{ start: 0, length: SIZE, seed: 1 }]);
    // One thread: strace counts the calls of each, and their order is that of time.
    cluster = await Cluster.start({ roots: [dir.path, '/dev'], env: { FERRY_THREADS: '1' } });
  });

  after(async () => {
    await cluster?.stop();
    await dir?.release();
  });

  async function failThenRetry(target: TargetInput): Promise<void> {
    await using trace = await traceCalls(cluster.pid('a'), storageName(target), ['fdatasync:error=EIO:when=4+']);
    const id = await cluster.submit({
      kind: 'upload',
      source: { type: 'file', path: source },
      target,
      options: { bandwidthBytesPerSecond: 32 * MiB },
    });
    const failed = await cluster.ended(id);
    expect(failed.state).to.equal('failed');
    expect(failed.error).to.include({ code: 'FLUSH_FAILED', errno: 5 });
    expect(failed.attempt, 'a flush that is repeated lies').to.equal(1);

    const calls = await trace.end();
    const flushes = calls.filter(({ name }) => name === 'fdatasync');
    expect(flushes.filter(({ succeeded }) => !succeeded)).to.have.length(1);
    expect(flushes.at(-1)?.succeeded, 'no flush after the one that failed').to.equal(false);
    const lastGood = calls.findLastIndex(({ name, succeeded }) => name === 'fdatasync' && succeeded);
    const written = calls
      .slice(0, lastGood)
      .reduce((bytes, { name, length }) => (name === 'pwrite64' ? bytes + length : bytes), 0);
    expect(failed.progress?.durableBytes).to.be.within(1, written);
    const copied = (await cluster.record(id)).checkpoint?.copied.filter((_, at) => at % 2 === 1) ?? [];
    expect(copied.reduce((bytes, length) => bytes + length, 0)).to.be.within(1, written);

    await cluster.request('POST', `/v1/jobs/${id}/retry`);
    const job = await cluster.ended(id);
    expect(job.state).to.equal('completed');
    expect(job.attempt).to.equal(2);
    expect(job.progress?.durableBytes).to.equal(SIZE);
    await assertSameBytes(source, storageName(target));
  }

  needsTracing('fails for good with what the last good flush confirmed, and a retry completes a file', async () => {
    await failThenRetry({ type: 'file', path: dir.join('target.img') });
  });

  needsTracing('fails for good with what the last good flush confirmed, and a retry completes a device', async () => {
    await using device = await attachLoop({ size: SIZE });
    await failThenRetry({ type: 'block', path: device.path });
  });
});
