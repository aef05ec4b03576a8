/** NBD through the whole service: the API, the command line and tickets, against real servers. */
import { expect } from 'chai';
import { MiB } from '../../shared/units.js';
import { assertSameBytes, makeImage, patternBytes } from '../helpers/bytes.js';
import { run as runTool } from '../helpers/command.js';
import { DataPlane } from '../helpers/data-plane.js';
import { needsNbd, startNbdkit, startQemuNbd } from '../helpers/nbd.js';
import { type Service, startService } from '../helpers/service.js';
import { type TempDir, tempDir } from '../helpers/temp.js';
import { FERRY, run } from '../integration/cli/programs.js';

const SIZE = 16 * MiB;

describe('NBD through the service', function () {
  this.timeout(60_000);
  let dir: TempDir;
  let service: Service;

  before(async () => {
    dir = await tempDir();
    await makeImage(dir.join('image.raw'), SIZE, [{ start: MiB, length: 3 * MiB, seed: 1 }]);
    service = await startService({ roots: [dir.path] });
  });

  after(async () => {
    await service?.[Symbol.asyncDispose]();
    await dir?.release();
  });

  const ferry = (...args: string[]) => run(FERRY, args, { FERRY_API_URL: service.url });

  needsNbd('imports an export with ferry import, and plans it before', async () => {
    await runTool('qemu-img', ['convert', '-O', 'qcow2', dir.join('image.raw'), dir.join('image.qcow2')]);
    await using server = await startQemuNbd(dir.path, 'qcow2', dir.join('image.qcow2'), ['--read-only']);
    const plan = await ferry('import', server.uri, dir.join('planned.raw'), '--dry-run');
    expect(plan.code, plan.stderr).to.equal(0);
    expect(plan.stdout).to.match(/data +3 MiB in 1 extent/);
    const { code, stdout, stderr } = await ferry('import', server.uri, dir.join('copy.raw'), '--follow', '--verify');
    expect(code, stderr).to.equal(0);
    expect(stdout).to.match(/verified +sha256/);
    await assertSameBytes(dir.join('image.raw'), dir.join('copy.raw'));
    const listed = await ferry('jobs');
    expect(listed.stdout).to.include(`${server.uri} -> ${dir.join('copy.raw')}`);
  });

  needsNbd('writes a disk of a batch onto an export, and refuses the second one that names it otherwise', async () => {
    await using server = await startNbdkit(dir.path, ['memory', String(SIZE)]);
    const disk = (uri: string) => ({
      source: { type: 'file' as const, path: dir.join('image.raw') },
      target: { type: 'nbd' as const, uri },
      options: { verify: true },
    });
    const batch = await service.send<{ id: string }>('POST', '/v1/batches', {
      name: 'one',
      vms: [{ name: 'vm', disks: [disk(server.uri)] }],
    });
    for (let state = 'active'; state !== 'completed'; ) {
      const view = await service.send<{ state: string; vms: unknown }>('GET', `/v1/batches/${batch.id}?wait=5`);
      expect(view.state, JSON.stringify(view.vms)).to.not.equal('failed');
      state = view.state;
    }
    const twice = await service.fetch('/v1/batches', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        name: 'two',
        vms: [{ name: 'vm', disks: [disk(server.uri), disk(`nbd+unix:///?socket=${server.socket}`)] }],
      }),
    });
    expect(twice.status).to.equal(400);
    expect(((await twice.json()) as { detail: string }).detail).to.include('is the target of vms[0].disks[0] too');
  });

  it('refuses, before anything is queued, hosts and sockets that are not allowed, and what is no URI', async () => {
    const cases: readonly (readonly [string, number, string])[] = [
      ['nbd://192.0.2.7/disk', 403, 'FERRY_NBD_HOSTS'],
      ['nbd+unix:///?socket=/run/other.sock', 403, 'storage roots'],
      [`nbd+unix:///?socket=${dir.join('missing.sock')}`, 422, 'no socket'],
      ['nbds://localhost/disk', 400, 'without TLS'],
    ];
    for (const [uri, status, words] of cases) {
      const target = { type: 'file', path: dir.join('never.raw') };
      const answer = await service.fetch('/v1/jobs', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ kind: 'upload', source: { type: 'nbd', uri }, target }),
      });
      const problem = (await answer.json()) as { detail: string; errors: { field: string }[] };
      expect(answer.status, uri).to.equal(status);
      expect(problem.detail).to.include(words);
      expect(problem.errors[0]?.field).to.equal('source.uri');
    }
  });

  needsNbd('serves an export by tickets in every form: writes, zeroes, extents, dirty bitmap', async () => {
    const plane = await DataPlane.shared();
    const path = `${plane.storage}/ticket.qcow2`;
    await runTool('qemu-img', ['create', '-q', '-f', 'qcow2', path, String(SIZE)]);
    await runTool('qemu-img', ['bitmap', '--add', path, 'backup']);
    await using server = await startQemuNbd(plane.storage, 'qcow2', path);
    for (const [at, url] of [`nbd:unix:${server.socket}:exportname=`, server.uri].entries()) {
      const id = `nbd-${at}`;
      const ticket = { uuid: id, size: SIZE, ops: ['write'], timeout: 60, url };
      expect((await plane.control('PUT', `/tickets/${id}`, ticket)).status).to.equal(200);
      const body = patternBytes(9, MiB);
      const headers = { 'Content-Range': `bytes ${MiB}-*/*` };
      expect((await plane.request({ method: 'PUT', path: `/images/${id}`, headers, body })).status).to.equal(200);
      const read = await plane.request({
        method: 'GET',
        path: `/images/${id}`,
        headers: { Range: `bytes=${MiB}-${2 * MiB - 1}` },
      });
      expect(read.body.equals(body)).to.equal(true);
      const { body: extents } = await plane.request({ method: 'GET', path: `/images/${id}/extents` });
      expect(JSON.parse(extents.toString())).to.deep.equal([
        { start: 0, length: MiB, zero: true, hole: true },
        { start: MiB, length: MiB, zero: false, hole: false },
        { start: 2 * MiB, length: SIZE - 2 * MiB, zero: true, hole: true },
      ]);
      expect((await plane.request({ method: 'GET', path: `/images/${id}/extents?context=dirty` })).status).to.equal(
        404,
      );
      await plane.control('DELETE', `/tickets/${id}`);
    }
    await server[Symbol.asyncDispose]();
    await using dirty = await startQemuNbd(plane.storage, 'qcow2', path, ['--read-only', '--bitmap=backup']);
    const ticket = { uuid: 'dirty', size: SIZE, ops: ['read'], timeout: 60, url: dirty.uri, dirty: true };
    expect((await plane.control('PUT', '/tickets/dirty', ticket)).status).to.equal(200);
    const answer = await plane.request({ method: 'GET', path: '/images/dirty/extents?context=dirty' });
    expect(JSON.parse(answer.body.toString())).to.deep.equal([
      { start: 0, length: MiB, dirty: false, zero: true },
      { start: MiB, length: MiB, dirty: true, zero: false },
      { start: 2 * MiB, length: SIZE - 2 * MiB, dirty: false, zero: true },
    ]);
    await plane.control('DELETE', '/tickets/dirty');
  });
});
