import { link, mkdir, symlink, writeFile } from 'node:fs/promises';
import { expect } from 'chai';
import type { BatchView } from '../../../shared/schemas/batch.js';
import { type Reply, TestApi } from './support.js';

type Disk = { source: string; target: string; type?: string };

/** What of a batch's paths is looked at before anything is queued, and what is left to the run. */
describe('API: storage of a batch', () => {
  let api: TestApi;
  let elsewhere: TestApi;

  before(async () => {
    api = await TestApi.start();
    elsewhere = await TestApi.start({ checkStorage: false });
    await symlink('sub', api.path('link'));
    await writeFile(api.path('other.img'), 'y');
    await mkdir(api.path('deep'));
    await link(api.path('other.img'), api.path('deep/other.img'));
  });
  after(async () => {
    await elsewhere?.stop();
    await api?.stop();
  });

  /** One VM for each list of disks; names are below the root. */
  function send(vms: Disk[][], to = api): Promise<Reply> {
    const path = (name: string) => (name.startsWith('/') ? name : to.path(name));
    const body = {
      name: 'wave-1',
      pool: 'fast',
      vms: vms.map((disks, n) => ({
        name: `vm-${n}`,
        disks: disks.map(({ source, target, type = 'file' }) => ({
          source: { type: 'file', path: path(source) },
          target: { type, path: path(target) },
        })),
      })),
    };
    return to.send('POST', '/v1/batches', { body });
  }
  const ok = (n: number): Disk => ({ source: 'in.img', target: `fresh-${n}.raw` });
  const fieldsOf = (reply: Reply) => reply.json.errors?.map(({ field }: { field: string }) => field);

  async function refused(reply: Reply, status: number, code: string, fields: string[]): Promise<void> {
    expect([reply.status, reply.json.code], reply.text).to.deep.equal([status, code]);
    expect(fieldsOf(reply)).to.deep.equal(fields);
    expect(await api.jobs.counts(), 'queued').to.deep.equal({});
    expect((await api.send('GET', '/v1/batches')).json.batches).to.deep.equal([]);
  }

  it('refuses the whole batch for one forbidden path, and names it', async () => {
    const reply = await send([[ok(0)], [ok(1), { source: '/etc/passwd', target: 'fresh-2.raw' }], [ok(3)]]);
    await refused(reply, 403, 'PATH_FORBIDDEN', ['vms[1].disks[1].source.path']);
    const target = await send([[ok(0)], [{ source: 'in.img', target: '/var/tmp/x.raw' }]]);
    await refused(target, 403, 'PATH_FORBIDDEN', ['vms[1].disks[0].target.path']);
    const leak = await send([[{ source: 'leak.img', target: 'fresh-0.raw' }]]);
    await refused(leak, 403, 'PATH_FORBIDDEN', ['vms[0].disks[0].source.path']);
  });

  it('refuses what is of the wrong kind', async () => {
    const reply = await send([[{ source: 'sub', target: 'fresh-0.raw' }]]);
    await refused(reply, 422, 'PATH_NOT_SUPPORTED', ['vms[0].disks[0].source.path']);
    const device = await send([[ok(0), { source: 'in.img', target: 'out.raw', type: 'block' }]]);
    await refused(device, 422, 'PATH_NOT_SUPPORTED', ['vms[0].disks[1].target.path']);
  });

  it('names every path that is wrong in the same way, in the order of the request', async () => {
    const wrong = (n: number): Disk => ({ source: 'fifo', target: `fresh-${n}.raw` });
    const reply = await send([[wrong(0), ok(1)], [wrong(2)], [wrong(3), { source: '/etc/passwd', target: 'x.raw' }]]);
    await refused(reply, 422, 'PATH_NOT_SUPPORTED', [
      'vms[0].disks[0].source.path',
      'vms[1].disks[0].source.path',
      'vms[2].disks[0].source.path',
    ]);
  });

  it('names fifty at most', async () => {
    const reply = await send(Array.from({ length: 200 }, (_, n) => [{ source: 'fifo', target: `fresh-${n}.raw` }]));
    expect(reply.status).to.equal(422);
    expect(fieldsOf(reply).length).to.equal(50);
  });

  it('refuses two disks with one target, by whatever names', async () => {
    for (const [first, second] of [
      ['same.raw', 'same.raw'],
      ['out.raw', './out.raw'],
      ['sub/new.raw', 'link/new.raw'],
      ['none/new.raw', 'none//new.raw'],
    ] as const) {
      const vms = [[ok(0)], [{ source: 'in.img', target: first }], [ok(1), { source: 'other.img', target: second }]];
      await refused(await send(vms), 400, 'BAD_REQUEST', ['vms[2].disks[1].target.path']);
    }
  });

  it('refuses a target that another disk reads, whichever comes first, there or not', async () => {
    const reads: Disk = { source: 'out.raw', target: 'fresh-0.raw' };
    const writes: Disk = { source: 'in.img', target: 'out.raw' };
    await refused(await send([[reads], [writes]]), 400, 'BAD_REQUEST', ['vms[1].disks[0].target.path']);
    await refused(await send([[writes], [reads]]), 400, 'BAD_REQUEST', ['vms[0].disks[0].target.path']);
    const later = await send([
      [{ source: 'in.img', target: 'link/later.img' }],
      [{ source: 'sub/later.img', target: 'fresh-0.raw' }],
    ]);
    await refused(later, 400, 'BAD_REQUEST', ['vms[0].disks[0].target.path']);
  });

  it('refuses a disk that would be written over itself', async () => {
    const reply = await send([[ok(0), { source: 'alias.img', target: 'in.img' }]]);
    await refused(reply, 422, 'TARGET_IS_SOURCE', ['vms[0].disks[1].target.path']);
  });

  it('refuses an unknown pool', async () => {
    const body = api.batch([{ name: 'web-1', acts: ['complete'] }], { pool: 'elsewhere' });
    await refused(await api.send('POST', '/v1/batches', { body }), 422, 'POOL_UNKNOWN', ['pool']);
  });

  it('compares paths as they are written when storage is elsewhere', async () => {
    const reply = await send([[{ source: '/a', target: '/b/c' }], [{ source: '/a', target: '/b//c' }]], elsewhere);
    expect([reply.status, reply.json.code]).to.deep.equal([400, 'BAD_REQUEST']);
    expect(fieldsOf(reply)).to.deep.equal(['vms[1].disks[0].target.path']);
    const chain = await send([[{ source: '/a', target: '/b' }], [{ source: '/b', target: '/c' }]], elsewhere);
    expect(fieldsOf(chain)).to.deep.equal(['vms[0].disks[0].target.path']);
    const itself = await send([[{ source: '/a', target: '/a' }]], elsewhere);
    expect([itself.status, itself.json.code]).to.deep.equal([422, 'TARGET_IS_SOURCE']);
    const fine = await send([[{ source: '/a', target: '/b' }], [{ source: '/a', target: '/c' }]], elsewhere);
    expect(fine.status, fine.text).to.equal(202);
  });

  // Last: from here on something is queued.
  it('takes images that have not arrived, and directories that are not made yet', async () => {
    const reply = await send([
      [ok(0), { source: 'not-yet.img', target: 'fresh-1.raw' }],
      [{ source: 'none/deep.img', target: 'none/new.raw' }],
      [{ source: 'in.img', target: 'nodev', type: 'block' }],
    ]);
    expect([reply.status, reply.json.disks], reply.text).to.deep.equal([202, 4]);
    const batch = (await api.send('GET', `/v1/batches/${reply.json.id}`)).json as BatchView;
    expect(batch.counts.queued).to.equal(4);
  });
});
