/** `ferry` as a client, run as a process against a scripted API: what it sends, prints, and how it ends. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'chai';
import { completedJob, exampleJob, exampleProgress } from '../../unit/cli/example-job.js';
import { FERRY, type Finished, run, start } from './programs.js';
import { answer, problem, type Script, type ScriptedApi, scriptedApi } from './scripted-api.js';

const { id } = exampleJob();
const accepted = { id, kind: 'upload', state: 'queued', links: exampleJob().links };

describe('ferry as a client of the API', function () {
  this.timeout(30_000);
  let api: ScriptedApi | undefined;

  afterEach(async () => {
    await api?.close();
    api = undefined;
  });

  async function ferry(script: Script, args: string[], env: Record<string, string> = {}): Promise<Finished> {
    api = await scriptedApi(script);
    return await run(FERRY, args, { FERRY_API_URL: api.url, ...env });
  }

  /** An API that shows these versions of the job one after another. */
  function story(versions: unknown[]): Script {
    let next = 0;
    return ({ method }, response) => {
      if (method === 'POST') return answer(response, 202, accepted);
      const version = versions[Math.min(next, versions.length - 1)];
      next++;
      answer(response, 200, version, `"${next}"`);
    };
  }

  it('sends what the flags say, with absolute paths, and prints the id', async () => {
    const { code, stdout } = await ferry(story([]), [
      ...['import', 'a.img', '/dev/vg/lv', '--sparse', '--verify', '--no-zero-tail', '--target-is-zero'],
      ...['--label', 'vm=web-1', '--label', 'wave=1', '--priority', '7', '--idempotency-key', 'key-1'],
    ]);
    expect(code).to.equal(0);
    expect(stdout).to.equal(`job ${id} is queued\n`);
    const [seen] = api?.seen ?? [];
    expect(seen?.headers['idempotency-key']).to.equal('key-1');
    expect(seen?.body).to.deep.equal({
      kind: 'upload',
      source: { type: 'file', path: `${process.cwd()}/a.img` },
      target: { type: 'block', path: '/dev/vg/lv' },
      options: { allocation: 'sparse', priority: 7, verify: true, targetIsZero: true, zeroTail: false },
      labels: { vm: 'web-1', wave: '1' },
    });
  });

  it('leaves every option that was not given to the server', async () => {
    await ferry(story([]), ['import', '/a', '/b', '--size', '1GiB']);
    expect(api?.seen[0]?.body).to.deep.equal({
      kind: 'upload',
      source: { type: 'file', path: '/a' },
      target: { type: 'file', path: '/b', size: 2 ** 30 },
      options: {},
    });
  });

  it('sends the ranges to zero', async () => {
    await ferry(story([]), ['zero', '/dev/x', '--range', '0:1MiB', '--range', '1G:4K', '--target-type', 'file']);
    expect(api?.seen[0]?.body).to.deep.equal({
      kind: 'zero',
      target: { type: 'file', path: '/dev/x' },
      ranges: [
        { start: 0, length: 2 ** 20 },
        { start: 2 ** 30, length: 4096 },
      ],
      options: {},
    });
  });

  it('sends the token as a bearer token, from the environment only', async () => {
    await ferry(story([]), ['import', '/a', '/b'], { FERRY_API_TOKEN: 'a secret token' });
    expect(api?.seen[0]?.headers.authorization).to.equal('Bearer a secret token');
    expect((await run(FERRY, ['jobs', '--token', 'x'])).code).to.equal(2);
  });

  it('follows a job to its end in plain lines', async () => {
    const versions = [
      exampleJob({ phase: 'zeroing', progress: exampleProgress(5) }),
      exampleJob({ phase: 'copying', progress: exampleProgress(50) }),
      completedJob(),
    ];
    const { code, stdout, stderr } = await ferry(story(versions), ['import', '/a', '/dev/b', '--follow']);
    expect(code).to.equal(0);
    expect(stderr).to.equal('');
    expect(stdout).to.match(/^job .*\nzeroing {2}5\.0 %.*\ncopying {2}50\.0 %.*\ncompleted: 1 GiB/);
    expect(stdout).to.include('fallocate-zero-range');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that there are none is the point
    expect(stdout).to.not.match(/[\x1b\r]/);
  });

  it('follows in JSON lines', async () => {
    const { code, stdout } = await ferry(story([exampleJob(), completedJob()]), ['job', id, '--follow', '--json']);
    expect(code).to.equal(0);
    const states = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).state);
    expect(states).to.deep.equal(['active', 'completed']);
  });

  const ends: [string, object, number][] = [
    ['failed', { error: { code: 'STORAGE_FULL', message: 'no space on /dev/b' } }, 1],
    ['canceled', {}, 4],
  ];
  for (const [state, more, expected] of ends) {
    it(`ends with ${expected} when the job ended as ${state}`, async () => {
      const job = { ...exampleJob({ phase: null, endedAt: '2026-01-02T03:04:08.000Z' }), state, ...more };
      const { code, stdout, stderr } = await ferry(story([job]), ['import', '/a', '/b', '--follow']);
      expect(code).to.equal(expected);
      expect(stdout).to.include(state);
      if (state === 'failed') expect(stderr).to.include('no space on /dev/b (STORAGE_FULL)').and.include('ferry retry');
    });
  }

  const refusals: [number, string, number][] = [
    [400, 'BAD_REQUEST', 2],
    [401, 'UNAUTHORIZED', 2],
    [403, 'PATH_FORBIDDEN', 2],
    [409, 'JOB_STATE_CONFLICT', 2],
    [503, 'QUEUE_UNAVAILABLE', 3],
    [503, 'NODE_UNAVAILABLE', 3],
    [500, 'INTERNAL', 1],
  ];
  for (const [status, problemCode, expected] of refusals) {
    it(`ends with ${expected} when the API answers ${status} ${problemCode}, and says why`, async () => {
      const script: Script = (_seen, response) => problem(response, status, problemCode, 'because of this');
      const { code, stdout, stderr } = await ferry(script, ['import', '/a', '/b']);
      expect(code).to.equal(expected);
      expect(stdout).to.equal('');
      expect(stderr)
        .to.include(`ferry: because of this (${problemCode})`)
        .and.not.match(/ at .*\.js:/);
    });
  }

  it('ends with 3 when nothing listens, and says what to do', async () => {
    const { code, stderr } = await run(FERRY, ['jobs', '--server', 'http://127.0.0.1:1']);
    expect(code).to.equal(3);
    expect(stderr).to.include('http://127.0.0.1:1').and.include('ferry serve');
  });

  it('is not fooled by another program on that port', async () => {
    const { code, stderr } = await ferry((_seen, response) => response.end('<html>'), ['jobs']);
    expect(code).to.equal(1);
    expect(stderr).to.include('not one of imageferry');
  });

  const mistakes: string[][] = [
    [],
    ['bogus'],
    ['import'],
    ['import', '/a'],
    ['import', '/a', '/b', '/c'],
    ['import', '/a', '/b', '--bogus'],
    ['import', '/a', '/b', '--size', 'big'],
    ['import', '/a', '/dev/b', '--size', '1G'],
    ['import', 'http://host/a.img', '/b'],
    ['import', '/a', '/b', '--label', 'x'],
    ['import', '/a', '/b', '--priority', '1001'],
    ['import', '/a', '/b', '--target-type', 'tape'],
    ['zero', '/a', '--range', '5'],
    ['import', '/a', '/b', '--bandwidth', '1K'],
    ['set', 'x'],
    ['set', 'x', '--bandwidth', 'some'],
    ['jobs', '--state', 'bogus'],
    ['jobs', '--limit', '0'],
    ['jobs', '--server', 'nonsense'],
    ['serve', '--port', 'http'],
    ['serve', '--buffer-bytes', 'lots'],
    ['api'],
    ['node'],
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

  it('prints help and version with exit code 0', async () => {
    const help = await run(FERRY, ['--help']);
    expect(help.code).to.equal(0);
    expect(help.stdout).to.include('import').and.include('Exit codes');
    expect((await run(FERRY, ['--version'])).stdout).to.match(/^\d+\.\d+\.\d+\n$/);
  });

  it('lists more jobs than one page holds, up to the limit', async () => {
    const script: Script = ({ path }, response) => {
      const last = path.includes('cursor=two');
      answer(response, 200, { jobs: [exampleJob(), exampleJob()], nextCursor: last ? 'three' : 'two' });
    };
    const { stdout } = await ferry(script, ['jobs', '--json', '--limit', '3', '--state', 'active']);
    expect(JSON.parse(stdout).jobs).to.have.length(3);
    expect(api?.seen.map(({ path }) => path)).to.deep.equal([
      '/v1/jobs?limit=3&state=active',
      '/v1/jobs?limit=1&state=active&cursor=two',
    ]);
  });

  const live: [string[], string, string, unknown, object, string][] = [
    [['pause', id], 'POST', `/v1/jobs/${id}/pause`, undefined, { requested: 'pause' }, 'will pause at its next step'],
    [['pause', id], 'POST', `/v1/jobs/${id}/pause`, undefined, { state: 'paused' }, 'is paused'],
    [['resume', id], 'POST', `/v1/jobs/${id}/resume`, undefined, { state: 'queued' }, 'is queued'],
    [
      ['set', id, '--bandwidth', '100MiB', '--priority', '5'],
      'PATCH',
      `/v1/jobs/${id}`,
      { bandwidthBytesPerSecond: 100 * 2 ** 20, priority: 5 },
      { options: { ...exampleJob().options, bandwidthBytesPerSecond: 100 * 2 ** 20, priority: 5 } },
      'at most 100 MiB/s, priority 5',
    ],
    [
      ['set', id, '--bandwidth', 'none'],
      'PATCH',
      `/v1/jobs/${id}`,
      { bandwidthBytesPerSecond: null },
      {},
      'no bandwidth limit, priority 0',
    ],
  ];
  for (const [args, method, path, body, change, words] of live) {
    it(`ferry ${args.join(' ').replace(id, 'ID')}: the job ${words}`, async () => {
      const script: Script = (_seen, response) => answer(response, 202, { ...exampleJob(), ...change });
      const { code, stdout } = await ferry(script, args);
      expect(code).to.equal(0);
      expect(stdout).to.include(id).and.include(words);
      const [seen] = api?.seen ?? [];
      expect(seen).to.include({ method, path });
      expect(seen?.body).to.deep.equal(body);
    });
  }

  it('follows a job that it lets go on', async () => {
    const script: Script = ({ method }, response) =>
      method === 'POST'
        ? answer(response, 202, exampleJob({ state: 'queued' }))
        : answer(response, 200, completedJob());
    const { code, stdout } = await ferry(script, ['resume', id, '--follow']);
    expect(code).to.equal(0);
    expect(stdout).to.include('completed: 1 GiB');
  });

  it('limits the bandwidth of a new job', async () => {
    await ferry(story([]), ['zero', '/dev/x', '--bandwidth', '50MiB/s']);
    expect(api?.seen[0]?.body).to.deep.include({ options: { bandwidthBytesPerSecond: 50 * 2 ** 20 } });
  });

  it('lists the disks of a batch', async () => {
    await ferry((_seen, response) => answer(response, 200, { jobs: [], nextCursor: null }), ['jobs', '--batch', id]);
    expect(api?.seen[0]?.path).to.equal(`/v1/jobs?limit=50&batch=${id}`);
  });

  it('lists nodes, and says so when there are none', async () => {
    const none = await ferry((_seen, response) => answer(response, 200, { nodes: [] }), ['nodes']);
    expect(none.stderr).to.include('ferry node');
    expect(api?.seen[0]?.path).to.equal('/v1/nodes');
  });

  it('goes on following after the server was away', async () => {
    let asked = 0;
    const script: Script = (_seen, response) => {
      asked++;
      if (asked === 1) answer(response, 200, exampleJob());
      else if (asked === 2) response.destroy();
      else if (asked === 3) problem(response, 503, 'QUEUE_UNAVAILABLE', 'the queue rests');
      else answer(response, 200, completedJob(), '"9"');
    };
    const { code, stderr } = await ferry(script, ['job', id, '--follow']);
    expect(code).to.equal(0);
    expect(stderr).to.include('trying again').and.include('the server is back');
  });

  it('stops following on Ctrl-C without canceling, and says how to go on', async () => {
    api = await scriptedApi(({ headers }, response) => {
      // The second request is the long poll, which never comes back.
      if (headers['if-none-match'] === undefined) answer(response, 200, exampleJob());
    });
    const program = start(FERRY, ['job', id, '--follow'], { FERRY_API_URL: api.url });
    expect(await program.line()).to.include('copying');
    expect(await program.end('SIGINT')).to.equal(130);
    expect(program.stderr()).to.include(`ferry job ${id} --follow`).and.include(`ferry cancel ${id}`);
    expect(api.seen.filter(({ method }) => method === 'DELETE')).to.deep.equal([]);
  });

  it('ends quietly when its reader goes away', async () => {
    const jobs = Array.from({ length: 900 }, () => exampleJob());
    api = await scriptedApi((_seen, response) => answer(response, 200, { jobs, nextCursor: null }));
    const shell = spawn('sh', ['-c', '"$0" "$1" jobs --json | head -c 10; exit 0', process.execPath, FERRY], {
      env: { PATH: process.env.PATH, FERRY_API_URL: api.url },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stderr = '';
    shell.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    await once(shell, 'close');
    expect(stderr).to.equal('');
  });
});
