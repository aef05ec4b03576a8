/** The embedded queue server, with real processes: one server a data directory, through crashes and races. */
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { queuePaths } from '../../../services/cli/embedded-redis/paths.js';
import {
  cleanUp,
  QUEUE_STARTER,
  type Running,
  redisServersOf,
  run,
  start,
  temporaryDirectory,
  until,
} from './programs.js';

describe('the embedded queue server', function () {
  this.timeout(40_000);
  let directory: string;
  let dataDir: string;
  const programs: Running[] = [];

  beforeEach(async () => {
    directory = await temporaryDirectory();
    dataDir = join(directory, 'data dir'); // with a space: it must survive the way to redis-server
  });

  afterEach(async () => {
    for (const program of programs.splice(0)) await program.end('SIGKILL');
    await cleanUp(dataDir);
    await cleanUp(directory);
  });

  function starter(): Running {
    const program = start(QUEUE_STARTER, [dataDir]);
    programs.push(program);
    return program;
  }

  async function ready(program: Running): Promise<{ url: string; adopted: boolean }> {
    return JSON.parse(await program.line());
  }

  async function redisCall<T>(work: (redis: Redis) => Promise<T>): Promise<T> {
    const redis = new Redis({ path: queuePaths(dataDir).socket });
    redis.on('error', () => {});
    try {
      return await work(redis);
    } finally {
      redis.disconnect();
    }
  }

  it('starts on a private socket without TCP, appends to a file, and ends with its last user', async () => {
    const program = starter();
    const { adopted } = await ready(program);
    expect(adopted).to.equal(false);
    expect(((await stat(join(dataDir, 'queue'))).mode & 0o777).toString(8)).to.equal('700');
    const settings = await redisCall(async (redis) => {
      const wanted = ['port', 'appendonly', 'appendfsync', 'maxmemory-policy', 'save'];
      return await Promise.all(wanted.map(async (name) => (await redis.config('GET', name)) as unknown));
    });
    expect(JSON.stringify(settings)).to.include('noeviction').and.include('everysec').and.include('"0"');
    expect(await redisServersOf(dataDir)).to.have.length(1);
    expect(await program.end('SIGTERM')).to.equal(0);
    expect(await redisServersOf(dataDir)).to.deep.equal([]);
  });

  it('survives kill -9 of its parent with its data and is adopted by the next one', async () => {
    const first = starter();
    await ready(first);
    await redisCall((redis) => redis.set('kept', 'yes'));
    const [server] = await redisServersOf(dataDir);
    await first.end('SIGKILL');
    const second = starter();
    expect((await ready(second)).adopted).to.equal(true);
    expect(await redisServersOf(dataDir)).to.deep.equal([server]);
    expect(await redisCall((redis) => redis.get('kept'))).to.equal('yes');
    expect(await second.end('SIGTERM')).to.equal(0);
    expect(await redisServersOf(dataDir)).to.deep.equal([]);
  });

  it('gives eight that start at once one server, and the last to stop ends it', async () => {
    const crowd = Array.from({ length: 8 }, () => starter());
    const answers = await Promise.all(crowd.map(ready));
    expect(answers.filter((answer) => !answer.adopted)).to.have.length(1);
    expect(await redisServersOf(dataDir)).to.have.length(1);
    const [last, ...others] = crowd as [Running, ...Running[]];
    for (const code of await Promise.all(others.map((program) => program.end('SIGTERM')))) expect(code).to.equal(0);
    expect(await redisServersOf(dataDir)).to.have.length(1);
    expect(await last.end('SIGTERM')).to.equal(0);
    expect(await redisServersOf(dataDir)).to.deep.equal([]);
  });

  it('leaves no server behind when all stop at the same moment', async () => {
    const crowd = Array.from({ length: 4 }, () => starter());
    await Promise.all(crowd.map(ready));
    await Promise.all(crowd.map((program) => program.end('SIGTERM')));
    expect(await redisServersOf(dataDir)).to.deep.equal([]);
  });

  for (const adopted of [false, true]) {
    it(`starts again when it is killed, with its data (${adopted ? 'adopted' : 'own child'})`, async () => {
      if (adopted) {
        const before = starter();
        await ready(before);
        await before.end('SIGKILL');
      }
      const program = starter();
      expect((await ready(program)).adopted).to.equal(adopted);
      await redisCall((redis) => redis.set('kept', 'yes'));
      const [server] = (await redisServersOf(dataDir)) as [number];
      process.kill(server, 'SIGKILL');
      await until('another server runs', async () => {
        const servers = await redisServersOf(dataDir);
        return servers.length === 1 && servers[0] !== server;
      });
      expect(await redisCall((redis) => redis.get('kept'))).to.equal('yes');
      expect(program.stderr()).to.include('is gone; starting it again');
    });
  }

  it('waits for a server that is still reading its data instead of starting a second one', async () => {
    const first = starter();
    await ready(first);
    const [server] = (await redisServersOf(dataDir)) as [number];
    await first.end('SIGKILL');
    // A stopped process holds the lock and does not answer: what a server deep in its file looks like.
    process.kill(server, 'SIGSTOP');
    const second = starter();
    await until('the second one waits', () => second.child.exitCode === null);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await redisServersOf(dataDir)).to.deep.equal([server]);
    process.kill(server, 'SIGCONT');
    expect((await ready(second)).adopted).to.equal(true);
  });

  it('refuses a directory whose socket path would be too long, and says by how much', async () => {
    const { code, stderr } = await run(QUEUE_STARTER, [join(directory, 'x'.repeat(120))]);
    expect(code).to.not.equal(0);
    expect(stderr)
      .to.include('CONFIG_INVALID')
      .and.match(/\d+ bytes shorter/);
  });

  it('says how to get redis-server when it is missing, and leaves the directory free', async () => {
    const { code, stderr } = await run(QUEUE_STARTER, [dataDir], { PATH: '/nonexistent' });
    expect(code).to.not.equal(0);
    expect(stderr).to.include('apt-get install redis-server');
    const program = starter();
    expect((await ready(program)).adopted).to.equal(false);
  });

  it('reports the words of a server that ends while it starts', async () => {
    const program = starter();
    await ready(program);
    await program.end('SIGTERM');
    await writeFile(join(dataDir, 'queue', 'appendonlydir', 'appendonly.aof.manifest'), 'garbage\n');
    const { code, stderr } = await run(QUEUE_STARTER, [dataDir]);
    expect(code).to.not.equal(0);
    expect(stderr).to.include('ended while it started').and.include('redis.log');
    expect(await redisServersOf(dataDir)).to.deep.equal([]);
  });
});
