/** What `GET /v1/nodes` says of real nodes, and how soon the job of a killed one goes on elsewhere. */
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { expect } from 'chai';
import type { NodeView } from '../../shared/schemas/node.js';
import { assertSameBytes, makeImage } from '../helpers/bytes.js';
import { Fleet, type FleetNode } from '../helpers/fleet.js';
import { type TempDir, tempDir } from '../helpers/temp.js';
import { until } from '../integration/cli/programs.js';

const MiB = 1024 * 1024;
const SIZE = 32 * MiB;
const LEASE_MS = 1500;
/** What docs/architecture.md promises. */
const TAKEOVER_MS = 2 * LEASE_MS + 2000;

describe('nodes of one Redis', function () {
  this.timeout(60_000);
  let dir: TempDir;
  let fleet: Fleet;
  let nodes: readonly [FleetNode, FleetNode];

  beforeEach(async () => {
    dir = await tempDir();
    await makeImage(dir.join('source.img'), SIZE, [{ start: 0, length: SIZE, seed: 1 }]);
    fleet = await Fleet.start({ roots: [dir.path], leaseMs: LEASE_MS, env: { FERRY_POOLS: 'default,fast' } });
    const [a, b] = [
      { FERRY_THREADS: '5', FERRY_CONCURRENCY: '3' },
      { FERRY_POOLS: 'default', FERRY_BANDWIDTH: '9000000' },
    ];
    nodes = await Promise.all([fleet.startNode('a', { env: a }), fleet.startNode('b', { env: b })]);
  });

  afterEach(async () => {
    await fleet?.[Symbol.asyncDispose]();
    await dir?.release();
  });

  const submit = (bandwidthBytesPerSecond: number) =>
    fleet.api.submit({
      kind: 'upload',
      source: { type: 'file', path: dir.join('source.img') },
      target: { type: 'file', path: dir.join('target.img') },
      options: { bandwidthBytesPerSecond },
    });

  async function node(name: string): Promise<NodeView> {
    const found = (await fleet.api.nodes()).find((node) => node.name === name);
    if (found === undefined) throw new Error(`node ${name} is not listed`);
    return found;
  }

  it('are listed with their pools, their limits and their version', async () => {
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
    const common = { version, host: hostname(), state: 'up' };
    const [a, b, ...others] = await fleet.api.nodes();
    expect(others).to.deep.equal([]);
    expect(a).to.deep.include({ ...common, name: 'a', pid: nodes[0].pid, pools: ['default', 'fast'] });
    expect(a).to.deep.include({ threads: 5, concurrency: 3, bandwidthBytesPerSecond: null });
    expect(b).to.deep.include({ ...common, name: 'b', pid: nodes[1].pid, pools: ['default'] });
    expect(b).to.deep.include({ bandwidthBytesPerSecond: 9_000_000 });
    expect(a?.load).to.include({ jobs: 0, busyThreads: 0, bytesPerSecond: 0 });
  });

  it('say how busy they are', async () => {
    const { id } = await submit(4 * MiB);
    const { node: name } = await fleet.api.until(id, (job) => job.phase === 'copying');
    await until('the node tells of its job', async () => {
      const { load } = await node(name as string);
      return load.jobs === 1 && load.bytesPerSecond > 0;
    });
    const other = name === 'a' ? 'b' : 'a';
    expect((await node(other)).load.jobs).to.equal(0);
  });

  it('are stopped when they were told to end, and listed still', async () => {
    expect(await nodes[0].end('SIGTERM')).to.equal(0);
    expect((await node('a')).state).to.equal('stopped');
    expect((await node('b')).state).to.equal('up');
  });

  it('are lost when they were killed, and their job goes on elsewhere within two leases and two seconds', async () => {
    const { id } = await submit(4 * MiB);
    const { node: name } = await fleet.api.until(id, (job) => (job.progress?.doneBytes ?? 0) > 0);
    const victim = name === 'a' ? nodes[0] : nodes[1];
    await victim.end('SIGKILL');
    const killedMs = performance.now();
    const job = await fleet.api.until(id, (job) => job.attempt === 2);
    expect(performance.now() - killedMs).to.be.below(TAKEOVER_MS);
    expect(job.node).to.equal(name === 'a' ? 'b' : 'a');
    await fleet.api.change(id, { bandwidthBytesPerSecond: null });
    expect((await fleet.api.ended(id)).state).to.equal('completed');
    await assertSameBytes(dir.join('source.img'), dir.join('target.img'));
    await until('the killed node is lost', async () => (await node(victim.name)).state === 'lost');
  });
});
