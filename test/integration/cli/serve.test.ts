/** `ferry serve` as its users run it: one process, its queue server, real files, and the real command line. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { open, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import type { JobView } from '../../../shared/schemas/job.js';
import { MiB } from '../../../shared/units.js';
import { cleanUp, FERRY, type Running, redisServersOf, run, start, temporaryDirectory } from './programs.js';

const IMAGE_SIZE = 64 * MiB + 512;

describe('ferry serve', function () {
  this.timeout(60_000);
  let directory: string;
  let dataDir: string;
  let image: string;
  const programs: Running[] = [];

  beforeEach(async () => {
    directory = await temporaryDirectory();
    dataDir = join(directory, 'state');
    image = join(directory, 'disk.img');
    const file = await open(image, 'wx');
    await file.truncate(IMAGE_SIZE);
    await file.write(randomBytes(3 * MiB), 0, 3 * MiB, 0);
    await file.write(randomBytes(MiB), 0, MiB, 40 * MiB + 512);
    await file.close();
  });

  afterEach(async () => {
    for (const program of programs.splice(0)) await program.end('SIGKILL');
    await cleanUp(dataDir);
    await cleanUp(directory);
  });

  async function serve(env: Record<string, string> = {}): Promise<{ program: Running; url: string; port: string }> {
    const args = ['serve', '--port', '0', '--data-dir', dataDir, '--storage-roots', directory];
    const program = start(FERRY, args, { FERRY_RETRY_DELAY_MS: '100', ...env });
    programs.push(program);
    const ready = JSON.parse(await program.line());
    const sockets = env.FERRY_LOCAL_SOCKET === 'off' ? [] : ['local', 'control'];
    expect(ready).to.have.keys(['msg', 'api', 'images', ...sockets]);
    expect(ready.msg).to.equal('ready');
    return { program, url: ready.api.url, port: new URL(ready.api.url).port };
  }

  function compare(target: string): Promise<unknown> {
    return promisify(execFile)('cmp', [image, target]);
  }

  it('imports an image that the command line follows, and ends cleanly on SIGTERM', async () => {
    const { program, url } = await serve();
    const target = join(directory, 'target.img');
    const imported = await run(FERRY, ['import', image, target, '--verify', '--follow', '--server', url]);
    expect(imported.code, imported.stderr).to.equal(0);
    expect(imported.stdout).to.include('completed: ').and.include('verified');
    await compare(target);

    const zeroed = await run(FERRY, ['zero', target, '--range', '0:1MiB', '--follow', '--json', '--server', url]);
    expect(zeroed.code, zeroed.stderr).to.equal(0);
    const last = JSON.parse(zeroed.stdout.trim().split('\n').at(-1) as string) as JobView;
    expect(last.state).to.equal('completed');

    const listed = await run(FERRY, ['jobs', '--server', url]);
    expect(listed.stdout.trim().split('\n')).to.have.length(3);
    expect(await program.end('SIGTERM')).to.equal(0);
    expect(await redisServersOf(dataDir)).to.deep.equal([]);
    for (const line of program.stderr().trim().split('\n')) expect(() => JSON.parse(line), line).to.not.throw();
  });

  it('prints a plan and touches nothing', async () => {
    const { url } = await serve();
    const target = join(directory, 'never.img');
    const { code, stdout } = await run(FERRY, ['import', image, target, '--dry-run', '--server', url]);
    expect(code).to.equal(0);
    expect(stdout).to.include('nothing was written').and.include('strategy');
    expect((await run(FERRY, ['jobs', '--server', url])).stderr).to.include('no jobs');
  });

  it('refuses what lies outside the storage roots with exit code 2, and reports a job that failed with 1', async () => {
    const { url } = await serve();
    const refused = await run(FERRY, ['import', image, '/etc/ferry-test', '--server', url]);
    expect(refused.code).to.equal(2);
    expect(refused.stderr).to.include('PATH_FORBIDDEN');
    const small = join(directory, 'small.img');
    await writeFile(small, 'x'.repeat(4096));
    const failed = await run(FERRY, ['import', image, small, '--follow', '--size', '4096', '--server', url]);
    expect(failed.code).to.be.oneOf([1, 2]);
    expect(failed.stderr).to.include('TARGET_TOO_SMALL');
  });

  it('loses no job when it is killed: after a restart they complete', async () => {
    // What the first one held is free again when its lease is over.
    const env = { FERRY_LEASE_MS: '3000' };
    const first = await serve(env);
    const targets = Array.from({ length: 6 }, (_, index) => join(directory, `target-${index}.img`));
    const submitted = await Promise.all(targets.map((target) => submit(first.url, image, target)));
    await first.program.end('SIGKILL');
    const second = await serve(env);
    for (const [index, id] of submitted.entries()) {
      const { code, stderr } = await run(FERRY, ['job', id, '--follow', '--server', second.url]);
      expect(code, stderr).to.equal(0);
      await compare(targets[index] as string);
    }
  });

  it('says in one line that its port is in use, ends, and leaves nothing running', async () => {
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
    const port = String((blocker.address() as AddressInfo).port);
    const args = ['serve', '--port', port, '--data-dir', dataDir, '--log-level', 'error'];
    const { code, stdout, stderr } = await run(FERRY, args);
    blocker.close();
    expect(code).to.equal(2);
    expect(stdout).to.equal('');
    expect(stderr.trim().split('\n')).to.have.length(1);
    expect(stderr).to.include('EADDRINUSE').and.include(port);
    expect(await redisServersOf(dataDir)).to.deep.equal([]);
  });

  it('says that redis-server is missing', async () => {
    const { code, stderr } = await run(FERRY, ['serve', '--port', '0', '--data-dir', dataDir], {
      PATH: '/nonexistent',
    });
    expect(code).to.equal(3);
    expect(stderr).to.include('apt-get install redis-server');
  });

  it('shares one queue between two of them', async () => {
    const [one, two] = await Promise.all([serve(), serve({ FERRY_LOCAL_SOCKET: 'off', FERRY_CONTROL_SOCKET: 'off' })]);
    expect(await redisServersOf(dataDir)).to.have.length(1);
    const target = join(directory, 'target.img');
    const id = await submit(one.url, image, target);
    expect(await one.program.end('SIGTERM')).to.equal(0);
    expect((await run(FERRY, ['job', id, '--follow', '--server', two.url])).code).to.equal(0);
    await compare(target);
    expect(await two.program.end('SIGTERM')).to.equal(0);
    expect(await redisServersOf(dataDir)).to.deep.equal([]);
  });
});

async function submit(url: string, source: string, target: string): Promise<string> {
  const answer = await fetch(`${url}/v1/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      kind: 'upload',
      source: { type: 'file', path: source },
      target: { type: 'file', path: target },
    }),
  });
  expect(answer.status).to.equal(202);
  return ((await answer.json()) as { id: string }).id;
}
