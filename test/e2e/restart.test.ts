/** `ferry serve` stopped or killed in the middle: no job is lost, none passes as completed that is not. */
import { expect } from 'chai';
import type { JobRequestInput } from '../../shared/schemas/job.js';
import { assertSameBytes, makeImage } from '../helpers/bytes.js';
import { hasCommand } from '../helpers/command.js';
import { isRoot, needs } from '../helpers/needs.js';
import { injectFaults, startService } from '../helpers/service.js';
import { type TempDir, tempDir } from '../helpers/temp.js';
import { cleanUp, temporaryDirectory } from '../integration/cli/programs.js';

const MiB = 1024 * 1024;
const SIZE = 128 * MiB;
const needsTracing = needs(isRoot && hasCommand('strace'), 'root and strace');

describe('a service that ends while jobs run', function () {
  this.timeout(120_000);
  let dir: TempDir;
  let dataDir: string;
  let source: string;

  beforeEach(async () => {
    dir = await tempDir();
    dataDir = await temporaryDirectory();
    source = dir.join('source.img');
    await makeImage(source, SIZE, [{ start: 0, length: SIZE, seed: 1 }]);
  });

  afterEach(async () => {
    await cleanUp(dataDir);
    await dir.release();
  });

  const upload = (name: string): JobRequestInput => ({
    kind: 'upload',
    source: { type: 'file', path: source },
    target: { type: 'file', path: dir.join(name) },
  });

  needsTracing('on SIGTERM puts running jobs back, exits 0, and completes them after a restart', async () => {
    const env = { FERRY_CONCURRENCY: '1' };
    const first = await startService({ roots: [dir.path], dataDir, env });
    const slow = await injectFaults(first.pid, 'pwrite64:delay_enter=50000');
    const running = await first.submit(upload('running.img'));
    const waiting = await first.submit(upload('waiting.img'));
    await first.until(running.id, (job) => job.phase === 'copying' && (job.progress?.doneBytes ?? 0) > 0);
    const exit = first.end('SIGTERM');
    expect(await exit).to.equal(0);
    await slow.detach();

    await using second = await startService({ roots: [dir.path], dataDir, env });
    for (const [name, { id }] of Object.entries({ 'running.img': running, 'waiting.img': waiting })) {
      const job = await second.ended(id);
      expect(job.state).to.equal('completed');
      await assertSameBytes(source, dir.join(name));
    }
    expect((await second.job(running.id)).attempt).to.equal(2);
  });

  needsTracing('after kill -9 runs what was queued and what was running', async () => {
    // What the first one held is free again when its lease is over.
    const env = { FERRY_CONCURRENCY: '1', FERRY_LEASE_MS: '3000' };
    const first = await startService({ roots: [dir.path], dataDir, env });
    const slow = await injectFaults(first.pid, 'pwrite64:delay_enter=50000');
    const names = ['a.img', 'b.img', 'c.img', 'd.img'];
    const ids: string[] = [];
    for (const name of names) ids.push((await first.submit(upload(name))).id);
    await first.until(ids[0] as string, (job) => job.phase === 'copying');
    await first.end('SIGKILL');
    await slow.detach();

    await using second = await startService({ roots: [dir.path], dataDir, env });
    for (const [i, name] of names.entries()) {
      expect((await second.ended(ids[i] as string)).state, name).to.equal('completed');
      await assertSameBytes(source, dir.join(name));
    }
  });
});
