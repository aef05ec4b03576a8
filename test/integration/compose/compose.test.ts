/**
 * docker-compose.yml as docker-compose itself reads it: that it holds, and that docs/docker.md tells what it is.
 * Starts nothing and needs no Docker daemon.
 */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { load } from 'js-yaml';
import { readConfig, VARIABLES } from '../../../shared/config.js';
import { run } from '../../helpers/command.js';
import { needsCommands } from '../../helpers/needs.js';
import { tempDir } from '../../helpers/temp.js';

const FILE = fileURLToPath(new URL('../../../../docker-compose.yml', import.meta.url));
const TOKEN = 'a-token-for-the-test';
const NODES = ['node-a', 'node-b'];

/** What we look at; docker-compose prints more. */
interface Service {
  readonly image: string;
  readonly command: string | readonly string[];
  readonly user?: string;
  readonly build?: unknown;
  readonly ports?: readonly (string | { readonly host_ip?: string; readonly target: number })[];
  readonly volumes?: readonly (string | Mount)[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly privileged?: boolean;
  readonly cap_add?: readonly string[];
  readonly cap_drop?: readonly string[];
  readonly restart?: string;
}
interface Mount {
  readonly source: string;
  readonly target: string;
  readonly read_only?: boolean;
}

/** Asks docker-compose for its view of the file. `settings` are what an operator has in `.env`. */
async function compose(settings: Readonly<Record<string, string>>): Promise<Record<string, Service>> {
  await using dir = await tempDir();
  const envFile = dir.join('env');
  await writeFile(
    envFile,
    Object.entries(settings).map(([name, value]) => `${name}=${value}\n`),
  );
  // Not what this shell or a developer's .env happens to hold, and no daemon to ask.
  const clean = ['-u', 'FERRY_API_TOKEN', '-u', 'STORAGE_DIR', 'DOCKER_HOST=unix:///nonexistent/docker.sock'];
  const text = await run('env', [...clean, 'docker-compose', '--env-file', envFile, '--file', FILE, 'config']);
  return (load(text) as { services: Record<string, Service> }).services;
}

/** Volumes in one form, whichever way this docker-compose prints them. */
function mounts(service: Service | undefined): Mount[] {
  return (service?.volumes ?? []).map((volume) => {
    if (typeof volume !== 'string') return volume;
    const [source = '', target = '', mode] = volume.split(':');
    return { source, target, read_only: mode === 'ro' };
  });
}

function words({ command }: Service): string {
  return typeof command === 'string' ? command : command.join(' ');
}

describe('docker-compose.yml', function () {
  this.timeout(30_000);
  const declare = needsCommands('docker-compose', 'env');
  let services: Record<string, Service>;

  function service(name: string): Service {
    const found = services[name];
    if (found === undefined) throw new Error(`there is no service ${name}`);
    return found;
  }

  /** A test that has read the file, once for all. */
  function reading(sentence: string, body: () => void): void {
    declare(sentence, async () => {
      services ??= await compose({ FERRY_API_TOKEN: TOKEN });
      body();
    });
  }

  reading('has Redis, the API and two nodes, ours from one image that is built here', () => {
    expect(Object.keys(services)).to.have.members(['redis', 'api', ...NODES]);
    for (const name of ['api', ...NODES]) {
      expect(service(name), name).to.include({ image: 'imageferry', restart: 'unless-stopped' });
      expect(service(name).build, name).to.be.an('object');
    }
    expect(words(service('api'))).to.equal('api');
    for (const name of NODES) expect(words(service(name)), name).to.equal('node');
  });

  reading('gives each of ours a configuration that ferry accepts, and no variable that it does not know', () => {
    for (const name of ['api', ...NODES]) {
      const environment = service(name).environment ?? {};
      expect(VARIABLES, name).to.include.members(Object.keys(environment));
      expect(() => readConfig(environment), name).not.to.throw();
    }
    const api = readConfig(service('api').environment);
    expect(api.api).to.deep.equal({ host: '0.0.0.0', port: 8080, token: TOKEN });
  });

  reading('lets the nodes share Redis with the API, and their storage and pool with each other', () => {
    const [a, b] = NODES.map((name) => readConfig(service(name).environment));
    expect(a?.redisUrl)
      .to.equal(b?.redisUrl)
      .and.to.equal(readConfig(service('api').environment).redisUrl);
    expect(a?.pools).to.deep.equal(b?.pools);
    expect(a?.storageRoots).to.deep.equal(b?.storageRoots).and.to.deep.equal(['/srv/images']);
    expect(mounts(service('node-a'))).to.deep.equal(mounts(service('node-b')));
    expect(NODES.map((name) => service(name).environment?.FERRY_NODE_NAME)).to.deep.equal(NODES);
    const storage = mounts(service('node-a')).find(({ target }) => target === '/srv/images');
    expect(storage).to.include({ source: '/srv/images' });
    expect(storage?.read_only).not.to.equal(true);
  });

  reading('lets Redis be reached where the others look for it, and nowhere else', () => {
    const redis = words(service('redis'));
    expect(redis).to.match(/--port 0\b/);
    const socket = /--unixsocket (\S+)/.exec(redis)?.[1];
    const own = mounts(service('redis')).find(({ target }) => socket === `${target}/redis.sock`);
    for (const name of ['api', ...NODES]) {
      const theirs = mounts(service(name)).find(({ source }) => source === own?.source);
      expect(service(name).environment?.FERRY_REDIS_URL, name).to.equal(`unix://${theirs?.target}/redis.sock`);
      expect(theirs?.read_only, `${name} cannot change the queue's files`).to.equal(true);
    }
  });

  reading('keeps the queue in an append-only file on a volume, and evicts nothing', () => {
    expect(words(service('redis')))
      .to.include('--appendonly yes')
      .and.to.include('--maxmemory-policy noeviction');
    expect(mounts(service('redis'))).to.deep.include({ source: 'queue', target: '/data', read_only: false });
  });

  reading('publishes the port of the API and the data planes on the loopback, and no other', () => {
    const published: Record<string, readonly [number, number][]> = {
      redis: [],
      api: [[8080, 8080]],
      'node-a': [[54322, 54322]],
      'node-b': [[54323, 54322]],
    };
    for (const [name, expected] of Object.entries(published)) {
      const ports = service(name).ports ?? [];
      expect(ports, name).to.have.length(expected.length);
      for (const [at, [outside, inside]] of expected.entries()) {
        const port = ports[at];
        if (typeof port === 'string') expect(port).to.match(new RegExp(`^127\\.0\\.0\\.1:${outside}:${inside}\\b`));
        else expect(port).to.include({ host_ip: '127.0.0.1', target: inside });
      }
    }
    for (const [at, name] of NODES.entries()) {
      expect(service(name).environment?.FERRY_IMAGES_URL).to.equal(`http://127.0.0.1:${54322 + at}`);
    }
  });

  reading('gives no privilege but the one that nodes need', () => {
    for (const name of Object.keys(services)) expect(service(name).privileged ?? false, name).to.equal(false);
    for (const name of ['api', ...NODES]) expect(service(name).cap_drop, name).to.deep.equal(['ALL']);
    expect(service('api').cap_add ?? []).to.deep.equal([]);
    expect(service('api').user, 'the API is not root').to.equal(undefined);
    for (const name of NODES) {
      expect(service(name).cap_add, name).to.deep.equal(['DAC_OVERRIDE']);
      expect(service(name).user, name).to.equal('root');
    }
  });

  reading('is what docs/docker.md says: services, volumes, capabilities, variables', () => {
    const manual = readFileSync(new URL('../../../../docs/docker.md', import.meta.url), 'utf8');
    for (const [name, { cap_add, environment }] of Object.entries(services)) {
      expect(manual).to.include(`\`${name}\``);
      for (const capability of cap_add ?? []) expect(manual).to.include(`\`${capability}\``);
      for (const { source } of mounts(service(name))) expect(manual).to.include(`\`${source}\``);
      for (const variable of Object.keys(environment ?? {})) {
        // The address is the container's own and nothing to set.
        if (variable !== 'FERRY_API_HOST') expect(manual).to.include(variable);
      }
    }
  });

  declare('takes another directory for the storage, under the path that it has on the host', async () => {
    const moved = await compose({ FERRY_API_TOKEN: TOKEN, STORAGE_DIR: '/mnt/vms' });
    for (const name of NODES) {
      expect(moved[name]?.environment?.FERRY_STORAGE_ROOTS, name).to.equal('/mnt/vms');
      const storage = mounts(moved[name]).find(({ source }) => source === '/mnt/vms');
      expect(storage?.target, name).to.equal('/mnt/vms');
    }
  });

  declare('is refused without a token', async () => {
    const thrown = await compose({}).catch((error: Error) => error);
    expect(thrown).to.be.instanceOf(Error);
    expect((thrown as Error).message)
      .to.include('FERRY_API_TOKEN')
      .and.to.include('docs/docker.md');
  });
});
