/** `ferry batch` and what else it says about many: run as a process against a scripted API. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { expect } from 'chai';
import { type TempDir, tempDir } from '../../helpers/temp.js';
import { endedBatch, exampleBatch, exampleDisk, exampleVm } from '../../unit/cli/example-batch.js';
import { exampleProgress } from '../../unit/cli/example-job.js';
import { FERRY, type Finished, run, start } from './programs.js';
import { answer, problem, type Script, type ScriptedApi, scriptedApi } from './scripted-api.js';

const running = exampleBatch([
  exampleVm('web-1', 'active', exampleDisk(1, 'active', 50)),
  exampleVm('db-1', 'queued', exampleDisk(2, 'queued')),
]);
const completed = endedBatch('completed', [
  exampleVm('web-1', 'completed', exampleDisk(1, 'completed', 100)),
  exampleVm('db-1', 'completed', exampleDisk(2, 'completed', 100)),
]);
const failed = endedBatch('failed', [
  exampleVm('web-1', 'completed', exampleDisk(1, 'completed', 100)),
  exampleVm('db-1', 'failed', exampleDisk(2, 'failed', 10)),
]);
const { id } = running;
const accepted = { id, state: 'queued', disks: 2, links: running.links };
const { vms: _, progress: __, ...summary } = running;

const idle = { queued: 1, active: 0, paused: 1, completed: 0, failed: 0, canceled: 0 };

const PLAN = `
pool: slow
vms:
  - name: web-1
    disks:
      - source: in.img
        target: /dev/vg/web-1
  - name: db-1
    disks:
      - {source: in.img, target: out.img}
`;

describe('ferry batch', function () {
  this.timeout(30_000);
  let api: ScriptedApi | undefined;
  let dir: TempDir;

  beforeEach(async () => {
    dir = await tempDir();
    await writeFile(dir.join('wave-1.yaml'), PLAN);
  });

  afterEach(async () => {
    await api?.close();
    api = undefined;
    await dir.release();
  });

  async function ferry(script: Script, args: string[]): Promise<Finished> {
    api = await scriptedApi(script);
    return await run(FERRY, args, { FERRY_API_URL: api.url });
  }

  /** An API that accepts a batch, then shows these versions of it one after another. */
  function story(versions: unknown[]): Script {
    let next = 0;
    return ({ method, path }, response) => {
      if (method === 'POST') return answer(response, 202, path.endsWith('/retry') ? summary : accepted);
      const version = versions[Math.min(next, versions.length - 1)];
      next++;
      answer(response, 200, version, `"${next}"`);
    };
  }

  const request = (path: string) => ({
    name: 'wave-1',
    pool: 'slow',
    vms: [
      {
        name: 'web-1',
        disks: [{ source: { type: 'file', path: `${path}/in.img` }, target: { type: 'block', path: '/dev/vg/web-1' } }],
      },
      {
        name: 'db-1',
        disks: [
          { source: { type: 'file', path: `${path}/in.img` }, target: { type: 'file', path: `${path}/out.img` } },
        ],
      },
    ],
  });

  it('submits a plan as it is written, and prints the id', async () => {
    const { code, stdout, stderr } = await ferry(story([]), ['batch', 'submit', dir.join('wave-1.yaml')]);
    expect(code, stderr).to.equal(0);
    expect(stdout).to.equal(`batch ${id} is queued: 2 disks of 2 VMs\n`);
    const [seen] = api?.seen ?? [];
    expect(seen).to.include({ method: 'POST', path: '/v1/batches' });
    expect(seen?.body).to.deep.equal(request(dir.path));
  });

  it('lets flags go before the plan', async () => {
    const { code } = await ferry(story([]), [
      ...['batch', 'submit', dir.join('wave-1.yaml'), '--name', 'wave 2', '--pool', 'fast', '--on-failure', 'stop'],
      ...['--max-concurrent-disks', '3', '--idempotency-key', 'key-1', '--json'],
    ]);
    expect(code).to.equal(0);
    const [seen] = api?.seen ?? [];
    expect(seen?.headers['idempotency-key']).to.equal('key-1');
    expect(seen?.body).to.deep.include({ name: 'wave 2', pool: 'fast', onFailure: 'stop', maxConcurrentDisks: 3 });
  });

  it('reads a plan from stdin, with paths relative to the working directory', async () => {
    api = await scriptedApi(story([]));
    const child = spawn(process.execPath, [FERRY, 'batch', 'submit', '-', '--name', 'wave-1'], {
      env: { PATH: process.env.PATH, FERRY_API_URL: api.url },
      cwd: dir.path,
      stdio: ['pipe', 'ignore', 'inherit'],
    });
    child.stdin?.end(PLAN);
    expect(await once(child, 'close')).to.deep.equal([0, null]);
    expect(api.seen[0]?.body).to.deep.equal(request(dir.path));
  });

  it('sends nothing of a plan with a mistake, and names its line', async () => {
    await writeFile(dir.join('wave-1.yaml'), PLAN.replace('target: /dev', 'targt: /dev'));
    const { code, stdout, stderr } = await ferry(story([]), ['batch', 'submit', dir.join('wave-1.yaml')]);
    expect(code).to.equal(2);
    expect(stdout).to.equal('');
    expect(stderr).to.include(`${dir.join('wave-1.yaml')}: 2 mistakes (BAD_REQUEST)`);
    expect(stderr).to.include(`  ${dir.join('wave-1.yaml')}:7: vms[0].disks[0].targt: is not known`);
    expect(api?.seen).to.deep.equal([]);
  });

  it('names the line of what the server refuses', async () => {
    const script: Script = (_seen, response) =>
      problem(response, 403, 'PATH_FORBIDDEN', 'vms[1].disks[0].target.path: is outside the storage roots', [
        { field: 'vms[1].disks[0].target.path', message: 'is outside the storage roots' },
      ]);
    const { code, stderr } = await ferry(script, ['batch', 'submit', dir.join('wave-1.yaml')]);
    expect(code).to.equal(2);
    expect(stderr).to.include('wave-1.yaml:10: vms[1].disks[0].target.path: is outside the storage roots');
    expect(stderr).to.include('FERRY_STORAGE_ROOTS');
  });

  it('follows a batch to its end in plain lines', async () => {
    const args = ['batch', 'submit', dir.join('wave-1.yaml'), '--follow'];
    const { code, stdout, stderr } = await ferry(story([running, completed]), args);
    expect(code).to.equal(0);
    expect(stderr).to.equal('');
    expect(stdout.split('\n')).to.deep.equal([
      `batch ${id}: 2 disks of 2 VMs`,
      'active  50.0 %  0 of 2 disks  512 MiB of 1 GiB  100 MiB/s  12 s left',
      'web-1 /dev/vg/disk-1  completed  1 GiB',
      'db-1 /dev/vg/disk-2  completed  1 GiB',
      'completed: 2 VMs, 2 disks, 1 GiB in 10.0 s (102.3 MiB/s)',
      '',
    ]);
  });

  it('says at the end what failed, and how to go on', async () => {
    const { code, stdout, stderr } = await ferry(story([running, failed]), ['batch', 'status', id, '--follow']);
    expect(code).to.equal(1);
    expect(stdout).to.include('failed: 1 of 2 VMs, 1 of 2 disks');
    expect(stderr).to.include('db-1 /dev/vg/disk-2: no space left (STORAGE_FULL)');
    expect(stderr)
      .to.include(`"ferry retry ${exampleDisk(2, 'failed').jobId}"`)
      .and.include(`"ferry batch retry ${id}"`);
  });

  it('ends with 4 when the batch was canceled', async () => {
    const canceled = endedBatch('canceled', [exampleVm('web-1', 'canceled', exampleDisk(1, 'canceled'))]);
    const { code, stdout } = await ferry(story([canceled]), ['batch', 'status', id, '--follow']);
    expect(code).to.equal(4);
    expect(stdout).to.include('canceled: 0 of 1 VM');
  });

  it('follows in JSON lines', async () => {
    const { code, stdout } = await ferry(story([running, completed]), ['batch', 'status', id, '--follow', '--json']);
    expect(code).to.equal(0);
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).to.deep.equal([running, completed]);
  });

  it('goes on following after the server was away', async () => {
    let asked = 0;
    const script: Script = (_seen, response) => {
      asked++;
      if (asked === 1) answer(response, 200, running);
      else if (asked === 2) response.destroy();
      else if (asked === 3) problem(response, 503, 'QUEUE_UNAVAILABLE', 'the queue rests');
      else answer(response, 200, completed, '"9"');
    };
    const { code, stderr } = await ferry(script, ['batch', 'status', id, '--follow']);
    expect(code).to.equal(0);
    expect(stderr).to.include('trying again').and.include('the server is back');
  });

  it('waits for a server that accepts a batch and then restarts', async () => {
    let asked = 0;
    const script: Script = ({ method }, response) => {
      if (method === 'POST') return answer(response, 202, accepted);
      asked++;
      if (asked === 1) response.destroy();
      else answer(response, 200, completed);
    };
    const { code, stderr } = await ferry(script, ['batch', 'submit', dir.join('wave-1.yaml'), '--follow']);
    expect(code).to.equal(0);
    expect(stderr).to.include('trying again').and.include('the server is back');
  });

  it('stops following on Ctrl-C without canceling, and says how to go on', async () => {
    api = await scriptedApi(({ headers }, response) => {
      // The second request is the long poll, which never comes back.
      if (headers['if-none-match'] === undefined) answer(response, 200, running);
    });
    const program = start(FERRY, ['batch', 'status', id, '--follow'], { FERRY_API_URL: api.url });
    expect(await program.line()).to.include('active');
    expect(await program.end('SIGINT')).to.equal(130);
    expect(program.stderr()).to.include(`ferry batch status ${id} --follow`).and.include(`ferry batch cancel ${id}`);
    expect(api.seen.filter(({ method }) => method !== 'GET')).to.deep.equal([]);
  });

  it('shows a batch as a table of its VMs', async () => {
    const { code, stdout } = await ferry(story([running]), ['batch', 'status', id]);
    expect(code).to.equal(0);
    expect(stdout).to.match(/^web-1 +copying +0\/1 +50 % +100 MiB\/s$/m);
  });

  const told: [string[], string, string, object, string][] = [
    [['batch', 'cancel', id], 'DELETE', `/v1/batches/${id}`, {}, 'will stop: 1 disk'],
    [['batch', 'cancel', id], 'DELETE', `/v1/batches/${id}`, { state: 'canceled' }, 'is canceled'],
    [['batch', 'pause', id], 'POST', `/v1/batches/${id}/pause`, {}, 'will pause: 1 disk'],
    [['batch', 'pause', id], 'POST', `/v1/batches/${id}/pause`, { state: 'paused', counts: idle }, 'is paused'],
    [['batch', 'resume', id], 'POST', `/v1/batches/${id}/resume`, {}, 'is active'],
    [['batch', 'retry', id], 'POST', `/v1/batches/${id}/retry`, { state: 'queued' }, 'is queued: 1 disk'],
  ];
  for (const [args, method, path, change, words] of told) {
    it(`ferry ${args.slice(0, 2).join(' ')} says that the batch ${words}`, async () => {
      const { code, stdout } = await ferry((_seen, response) => answer(response, 202, { ...summary, ...change }), args);
      expect(code).to.equal(0);
      expect(stdout).to.include(`batch ${id} ${words}`);
      expect(api?.seen[0]).to.include({ method, path });
    });
  }

  it('follows what it has queued once more', async () => {
    const { code, stdout } = await ferry(story([running, completed]), ['batch', 'retry', id, '--follow']);
    expect(code).to.equal(0);
    expect(stdout).to.include('completed: 2 VMs');
  });

  it('lists batches, page by page', async () => {
    const script: Script = ({ path }, response) => {
      answer(response, 200, { batches: [summary], nextCursor: path.includes('cursor=two') ? null : 'two' });
    };
    const { stdout } = await ferry(script, ['batches', '--state', 'active', '--pool', 'default', '--limit', '3']);
    expect(stdout.match(/wave-1/g)).to.have.length(2);
    expect(api?.seen.map(({ path }) => path)).to.deep.equal([
      '/v1/batches?limit=3&state=active&pool=default',
      '/v1/batches?limit=2&state=active&pool=default&cursor=two',
    ]);
  });

  it('ends with 2 when there is no such batch', async () => {
    const script: Script = (_seen, response) => problem(response, 404, 'BATCH_NOT_FOUND', 'there is no such batch');
    const { code, stderr } = await ferry(script, ['batch', 'status', id, '--follow']);
    expect(code).to.equal(2);
    expect(stderr).to.include('ferry batches');
  });

  it('asks less often the larger the batch is', async () => {
    const disks = Array.from({ length: 500 }, (_disk, n) => exampleDisk(n, 'queued'));
    const large = exampleBatch([exampleVm('web-1', 'queued', ...disks)], { progress: exampleProgress(1) });
    const times: number[] = [];
    const versions = story([large, completed]);
    await ferry(
      (seen, response) => {
        times.push(Date.now());
        versions(seen, response);
      },
      ['batch', 'status', id, '--follow'],
    );
    expect((times[1] ?? 0) - (times[0] ?? 0)).to.be.at.least(490);
  });

  const mistakes: string[][] = [
    ['batch'],
    ['batch', 'bogus'],
    ['batch', 'submit'],
    ['batch', 'submit', '/none.yaml'],
    ['batch', 'submit', 'x', '--on-failure', 'panic'],
    ['batch', 'submit', 'x', '--max-concurrent-disks', '0'],
    ['batch', 'status'],
    ['batches', '--state', 'bogus'],
  ];
  for (const args of mistakes) {
    it(`ends with 2 for: ferry ${args.join(' ')}`, async () => {
      const { code, stdout, stderr } = await run(FERRY, args);
      expect(code, stderr).to.equal(2);
      expect(stdout).to.equal('');
      expect(stderr)
        .to.not.equal('')
        .and.not.match(/ at .*\.js:/);
    });
  }
});
