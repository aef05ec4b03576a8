/** The configuration: every wrong variable is named, secrets stay hidden, nothing dangerous is a default. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { describeConfig, type Env, readClientConfig, readConfig, VARIABLES } from '../../../shared/config.js';
import { FerryError } from '../../../shared/errors.js';

/** A value of each variable that must be refused. */
const WRONG: Record<string, string[]> = {
  FERRY_API_PORT: ['-1', '65536', 'http', ' ', '80.5', '0x50', '1e3'],
  FERRY_API_TOKEN: ['short'],
  FERRY_API_TOKEN_FILE: ['/nonexistent/token'],
  FERRY_REDIS_URL: ['localhost:6379', 'http://localhost', 'unix:relative'],
  FERRY_DATA_DIR: ['relative/path'],
  FERRY_STORAGE_ROOTS: ['/srv:relative'],
  FERRY_NBD_HOSTS: ['a b', 'nbd://host', 'host;other'],
  FERRY_POOLS: ['UPPER', ',', 'a b'],
  FERRY_NODE_NAME: ['x'.repeat(256)],
  FERRY_THREADS: ['0', '513', 'many'],
  FERRY_CONCURRENCY: ['0', '1025'],
  FERRY_BUFFER_BYTES: ['1', '64MiB'],
  FERRY_JOB_ATTEMPTS: ['0'],
  FERRY_RETRY_DELAY_MS: ['-5'],
  FERRY_FLUSH_INTERVAL_MS: ['10'],
  FERRY_LEASE_MS: ['999', '3s'],
  FERRY_BANDWIDTH: ['0', '65535', '100MiB'],
  FERRY_POOL_CONCURRENCY: ['8', 'default=', 'default=-1', 'default=8;fast=4'],
  FERRY_IMAGES_PORT: ['65536', 'none'],
  FERRY_IMAGES_URL: ['host:54322', 'ftp://host', 'https://user:secret@host'],
  FERRY_TLS: ['yes', 'ON'],
  FERRY_LOCAL_SOCKET: ['relative.sock', '@', `/${'x'.repeat(107)}`],
  FERRY_CONTROL_SOCKET: ['relative.sock', 'none'],
  FERRY_CONTROL_PORT: ['-1', 'on'],
  FERRY_MAX_CONNECTIONS: ['0', '1025'],
  FERRY_INACTIVITY_TIMEOUT: ['0', '60s'],
  FERRY_CLIENT_TIMEOUT: ['0', '5m'],
  FERRY_REMOVE_TIMEOUT: ['-1', '86401'],
  FERRY_METRICS_PORT: ['65536', 'off'],
  FERRY_KEEP_JOBS_SECONDS: ['a week'],
  FERRY_KEEP_JOBS_COUNT: ['1.5'],
  FERRY_LOG_LEVEL: ['loud'],
  FERRY_API_URL: ['ftp://host', 'host:8080', 'http://user:secret@host'],
};

function refusal(read: () => unknown): FerryError {
  try {
    read();
  } catch (thrown) {
    expect(thrown).to.be.instanceOf(FerryError);
    return thrown as FerryError;
  }
  throw new Error('it was accepted');
}

describe('the configuration', () => {
  for (const [variable, values] of Object.entries(WRONG)) {
    it(`names ${variable} when it is wrong`, () => {
      const read = variable === 'FERRY_API_URL' ? readClientConfig : readConfig;
      for (const value of values) {
        const error = refusal(() => read({ [variable]: value }));
        expect(error.code).to.equal('CONFIG_INVALID');
        expect(error.message, value).to.include(`${variable}: `);
        if (value.includes('secret')) expect(error.message).to.not.include('secret');
      }
    });
  }

  it('names every wrong variable at once', () => {
    const error = refusal(() => readConfig({ FERRY_API_PORT: 'x', FERRY_THREADS: 'y', FERRY_LOG_LEVEL: 'z' }));
    expect(error.message).to.include('FERRY_API_PORT').and.include('FERRY_THREADS').and.include('FERRY_LOG_LEVEL');
  });

  it('serves images over TLS when there is a certificate, and never half of it', () => {
    const pair = { FERRY_TLS_CERT: '/etc/cert.pem', FERRY_TLS_KEY: '/etc/key.pem' };
    expect(readConfig({}).images.tls).to.equal(null);
    expect(readConfig(pair).images.tls).to.deep.equal({ cert: '/etc/cert.pem', key: '/etc/key.pem', ca: null });
    expect(readConfig({ ...pair, FERRY_TLS: 'off' }).images.tls).to.equal(null);
    expect(refusal(() => readConfig({ FERRY_TLS: 'on' })).message).to.include('FERRY_TLS_CERT: ');
    expect(refusal(() => readConfig({ FERRY_TLS_CERT: '/etc/cert.pem' })).message).to.include('FERRY_TLS_KEY: ');
  });

  it('writes names of the abstract name space with @, and takes off for no socket', () => {
    expect(readConfig({ FERRY_LOCAL_SOCKET: '@ferry' }).images.localSocket).to.equal('\0ferry');
    expect(readConfig({ FERRY_CONTROL_SOCKET: 'off' }).images.controlSocket).to.equal(null);
    expect(readConfig({ FERRY_DATA_DIR: '/data' }).images.localSocket).to.equal('/data/images.sock');
  });

  it('takes an empty variable for an unset one', () => {
    expect(readConfig({ FERRY_API_PORT: '', FERRY_REDIS_URL: '' })).to.deep.equal(readConfig({}));
  });

  it('allows nothing by default: loopback only, no storage roots', () => {
    const config = readConfig({});
    expect(config.api).to.deep.equal({ host: '127.0.0.1', port: 8080, token: null });
    expect(config.storageRoots).to.deep.equal([]);
    expect(config.redisUrl).to.equal(null);
  });

  it('refuses to listen beyond loopback without a token', () => {
    for (const host of ['0.0.0.0', '::', '192.0.2.7', 'storage.example', '127.0.0.1.example']) {
      expect(refusal(() => readConfig({ FERRY_API_HOST: host })).message).to.include('FERRY_API_TOKEN');
      expect(readConfig({ FERRY_API_HOST: host, FERRY_API_TOKEN: 'long enough' }).api.host).to.equal(host);
    }
    for (const host of ['127.0.0.1', '127.8.8.8', '::1', 'localhost']) {
      expect(readConfig({ FERRY_API_HOST: host }).api.token).to.equal(null);
    }
  });

  it('shows metrics beyond loopback only to who has the token', () => {
    const FERRY_METRICS_HOST = '0.0.0.0';
    // Off: nothing listens there.
    expect(readConfig({ FERRY_METRICS_HOST }).metrics).to.equal(null);
    const open = { FERRY_METRICS_HOST, FERRY_METRICS_PORT: '0' };
    expect(refusal(() => readConfig(open)).message)
      .to.include('FERRY_METRICS_HOST')
      .and.include('FERRY_API_TOKEN');
    expect(readConfig({ ...open, FERRY_API_TOKEN: 'long enough' }).metrics).to.deep.equal({ host: '0.0.0.0', port: 0 });
    expect(readConfig({ FERRY_METRICS_PORT: '9100' }).metrics).to.deep.equal({ host: '127.0.0.1', port: 9100 });
  });

  it('reads the token from a file, without the newline at its end', () => {
    const directory = mkdtempSync(join(tmpdir(), 'ferry-config-'));
    try {
      const path = join(directory, 'token');
      writeFileSync(path, 'from a file\n');
      expect(readConfig({ FERRY_API_TOKEN_FILE: path }).api.token).to.equal('from a file');
      expect(readClientConfig({ FERRY_API_TOKEN_FILE: path }).token).to.equal('from a file');
      writeFileSync(path, 'short\n');
      expect(refusal(() => readConfig({ FERRY_API_TOKEN_FILE: path })).message).to.include('FERRY_API_TOKEN_FILE');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('hides the token and the password of Redis when it is shown', () => {
    const shown = JSON.stringify(
      describeConfig(
        readConfig({ FERRY_API_TOKEN: 'very-secret', FERRY_REDIS_URL: 'redis://me:hunter22@host:6379/1' }),
      ),
    );
    expect(shown).to.not.include('very-secret').and.not.include('hunter22');
    expect(shown).to.include('redis://me:(hidden)@host:6379/1');
  });

  const servers: [Env, string][] = [
    [{}, 'http://127.0.0.1:8080'],
    [{ FERRY_API_PORT: '9000' }, 'http://127.0.0.1:9000'],
    [{ FERRY_API_HOST: '0.0.0.0' }, 'http://127.0.0.1:8080'],
    [{ FERRY_API_HOST: '::' }, 'http://[::1]:8080'],
    [{ FERRY_API_URL: 'https://ferry.example/', FERRY_API_PORT: '9000' }, 'https://ferry.example'],
  ];
  for (const [env, url] of servers) {
    it(`tells a client with ${JSON.stringify(env)} to go to ${url}`, () => {
      expect(readClientConfig(env).url).to.equal(url);
    });
  }

  it('is described in docs/configuration.md, each variable and no other', async () => {
    const text = await readFile(new URL('../../../../docs/configuration.md', import.meta.url), 'utf8');
    // The demo's own variable is its business, not the servers'.
    const described = new Set([...text.matchAll(/^\| `(FERRY_[A-Z_]+)`/gm)].map((match) => match[1]));
    expect([...described].sort()).to.deep.equal([...VARIABLES].sort());
    // A host and a path may be anything that is not empty.
    const any = ['FERRY_API_HOST', 'FERRY_METRICS_HOST', 'FERRY_IMAGES_HOST'];
    any.push('FERRY_TLS_CERT', 'FERRY_TLS_KEY', 'FERRY_TLS_CA');
    expect(Object.keys(WRONG).concat(any).sort()).to.deep.equal([...VARIABLES].sort());
  });
});
