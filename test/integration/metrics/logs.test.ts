/** The log of a whole `ferry serve`: which job a line is about, and one line for each change of its state. */
import { expect } from 'chai';
import type { JobView } from '../../../shared/schemas/job.js';
import { MiB } from '../../../shared/units.js';
import { makeImage } from '../../helpers/bytes.js';
import { type Service, startService } from '../../helpers/service.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';

type Line = Record<string, unknown>;

const SIZE = 16 * MiB;
const SLOW = { bandwidthBytesPerSecond: 4 * MiB, detectZeroes: false };

describe('the log of ferry serve', function () {
  this.timeout(60_000);
  let dir: TempDir;
  let service: Service;

  before(async () => {
    dir = await tempDir();
    const env = { FERRY_NODE_NAME: 'node-1', FERRY_LOG_LEVEL: 'debug' };
    service = await startService({ roots: [dir.path], env });
    await makeImage(dir.join('image'), SIZE, [{ start: 0, length: SIZE }]);
  });
  after(async () => {
    await service?.[Symbol.asyncDispose]();
    await dir?.release();
  });

  const lines = (): Line[] =>
    service
      .stderr()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Line);
  const post = (path: string) => service.fetch(path, { method: 'POST' });

  const upload = (name: string, options: object = {}) =>
    ({
      kind: 'upload',
      source: { type: 'file', path: dir.join('image') },
      target: { type: 'file', path: dir.join(name) },
      options,
    }) as const;

  /**
   * What the log says of changes of a job's state, once it says that the job has ended. API and node race: a line of the
   * one may come after the end that the other tells.
   */
  async function changes(id: string, least = 0): Promise<unknown[][]> {
    const of = () =>
      lines().filter((line) => line.job === id && (line.level as number) >= 30 && line.state !== undefined);
    const ended = (line: Line) => ['completed', 'failed', 'canceled'].includes(line.msg as string);
    while (!of().some(ended) || of().length < least) await new Promise((resolve) => setTimeout(resolve, 20));
    return of().map(({ msg, state, attempt }) => [msg, state, attempt]);
  }

  async function copying(id: string): Promise<JobView> {
    return await service.until(id, (job) => (job.progress?.doneBytes ?? 0) > 0);
  }

  it('has one line for each state of a job that completes', async () => {
    const { id } = await service.submit(upload('a'));
    expect(await changes(id, 3)).to.have.deep.members([
      ['queued', 'queued', undefined],
      ['started', 'active', 1],
      ['completed', 'completed', 1],
    ]);
    const completed = lines().find(({ job, msg }) => job === id && msg === 'completed');
    expect(completed).to.include({ level: 30, node: 'node-1', pool: 'default', kind: 'upload', copiedBytes: SIZE });
    // Before it wrote, and after the last flush.
    expect(lines().filter(({ job, msg, level }) => job === id && msg === 'checkpoint' && level === 20)).to.have.length(
      2,
    );
  });

  it('says once, with its code, that a job failed', async () => {
    const { id } = await service.submit({ ...upload('b'), target: { type: 'file', path: dir.join('b'), size: 4096 } });
    expect(await changes(id, 3)).to.have.deep.members([
      ['queued', 'queued', undefined],
      ['started', 'active', 1],
      ['failed', 'failed', 1],
    ]);
    const failed = lines().find(({ job, msg }) => job === id && msg === 'failed');
    expect(failed).to.include({ level: 50 });
    expect(failed?.error).to.include({ code: 'TARGET_TOO_SMALL' });
  });

  it('follows a job that is paused, goes on and is canceled', async () => {
    const { id } = await service.submit(upload('c', SLOW));
    await copying(id);
    await post(`/v1/jobs/${id}/pause`);
    await service.until(id, ({ state }) => state === 'paused');
    await post(`/v1/jobs/${id}/resume`);
    await service.until(id, ({ state, attempt }) => state === 'active' && attempt === 2);
    await service.fetch(`/v1/jobs/${id}`, { method: 'DELETE' });
    expect((await changes(id, 8)).map(([msg]) => msg)).to.have.members([
      'queued',
      'started',
      'pause requested',
      'paused',
      'resumed',
      'started',
      'cancel requested',
      'canceled',
    ]);
  });

  it('names the batch of every job that has one', async () => {
    const { source, target } = upload('d');
    const body = JSON.stringify({ name: 'wave-1', vms: [{ name: 'web-1', disks: [{ source, target }] }] });
    const headers = { 'content-type': 'application/json' };
    const { id } = (await (await service.fetch('/v1/batches', { method: 'POST', headers, body })).json()) as {
      id: string;
    };
    const batch = (await (await service.fetch(`/v1/batches/${id}?wait=30`)).json()) as {
      vms: { disks: { jobId: string }[] }[];
    };
    const job = batch.vms[0]?.disks[0]?.jobId as string;
    expect((await changes(job)).map(([msg]) => msg)).to.deep.equal(['started', 'completed']);
    const said = lines().filter((line) => line.job === job);
    for (const line of said) expect(line.batch, line.msg as string).to.equal(id);
    expect(lines().find(({ msg }) => msg === 'batch submitted')).to.include({ batch: id, disks: 1, pool: 'default' });
  });

  it('names the node in every line of its own', () => {
    for (const line of lines()) {
      if (line.signal === undefined) expect(line.node, JSON.stringify(line)).to.equal('node-1');
    }
  });
});
