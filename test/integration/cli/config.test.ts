/** `ferry config`, and flags of the servers: flag before environment before default. */
import { expect } from 'chai';
import { FERRY, run } from './programs.js';

describe('ferry config', function () {
  this.timeout(20_000);

  it('shows each value and where it comes from', async () => {
    const { code, stdout } = await run(FERRY, ['config', '--port', '1234', '--storage-roots', 'a:/b'], {
      FERRY_API_PORT: '9999',
      FERRY_THREADS: '3',
    });
    expect(code).to.equal(0);
    expect(stdout).to.match(/^FERRY_API_PORT +1234 +flag$/m);
    expect(stdout).to.match(/^FERRY_THREADS +3 +environment$/m);
    expect(stdout).to.match(/^FERRY_CONCURRENCY +4 +default$/m);
    expect(stdout).to.include(`${process.cwd()}/a:/b`);
  });

  it('shows limits, leases and metrics as they are set', async () => {
    const { stdout } = await run(FERRY, [
      ...['config', '--bandwidth', '500MiB', '--pool-concurrency', 'default=8,fast=0', '--lease-ms', '3000'],
      ...['--metrics-port', '9100', '--metrics-host', '::1'],
    ]);
    expect(stdout).to.match(/^FERRY_BANDWIDTH +524288000 +flag$/m);
    expect(stdout).to.match(/^FERRY_POOL_CONCURRENCY +default=8,fast=0 +flag$/m);
    expect(stdout).to.match(/^FERRY_LEASE_MS +3000 +flag$/m);
    expect(stdout).to.match(/^FERRY_METRICS_PORT +9100 +flag$/m);
    const none = (await run(FERRY, ['config'])).stdout;
    expect(none).to.match(/^FERRY_BANDWIDTH +\(none\) +default$/m);
  });

  it('hides secrets, as a table and as JSON', async () => {
    const secrets = { FERRY_API_TOKEN: 'very-secret', FERRY_REDIS_URL: 'redis://:hunter22@host' };
    for (const args of [['config'], ['config', '--json']]) {
      const { stdout } = await run(FERRY, args, secrets);
      expect(stdout).to.include('(hidden)').and.not.include('very-secret').and.not.include('hunter22');
    }
    expect(JSON.parse((await run(FERRY, ['config', '--json'])).stdout).api.port).to.equal(8080);
  });

  it('names the flag that is wrong', async () => {
    const { code, stderr } = await run(FERRY, ['config', '--threads', '0']);
    expect(code).to.equal(2);
    expect(stderr).to.include('--threads (FERRY_THREADS): must be a whole number from 1 to 512');
  });
});
