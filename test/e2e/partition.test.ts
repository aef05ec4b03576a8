/**
 * A node that is cut off from the network in the middle of a job: it stops writing by itself while its lease lasts,
 * another one takes the job over after that, and it is a node like any other when it is back.
 * API, nodes and redis-server are on machines of their own, as far as the network goes.
 */
import { createServer } from 'node:net';
import { expect } from 'chai';
import { assertSameBytes, makeImage } from '../helpers/bytes.js';
import { Fleet, type FleetNode } from '../helpers/fleet.js';
import { createNetwork, type Machine, type Network, needsNetwork } from '../helpers/network.js';
import { hasOpen } from '../helpers/processes.js';
import { TestRedis } from '../helpers/redis.js';
import { type TempDir, tempDir } from '../helpers/temp.js';
import { traceWrites } from '../helpers/write-trace.js';
import { until } from '../integration/cli/programs.js';

const MiB = 1024 * 1024;
const SIZE = 64 * MiB;
const LEASE_MS = 2000;
/** docs/architecture.md promises one and a half leases; the machine that runs the tests is busy. */
const TAKEOVER_MS = 1.5 * LEASE_MS + 2000;
const TOKEN = 'of-the-partition-test';

describe('a node that is cut off from the network', function () {
  this.timeout(120_000);
  let dir: TempDir;
  let network: Network;
  let redis: TestRedis;
  let fleet: Fleet;
  const nodes = new Map<string, { readonly node: FleetNode; readonly machine: Machine }>();

  beforeEach(async () => {
    dir = await tempDir();
    await makeImage(dir.join('source.img'), SIZE, [{ start: 0, length: SIZE, seed: 1 }]);
    await makeImage(dir.join('small.img'), MiB, [{ start: 0, length: MiB, seed: 2 }]);
    network = createNetwork();
    redis = await TestRedis.start({ host: network.address, port: await freePort(network.address), password: 'secret' });
    const common = { roots: [dir.path], leaseMs: LEASE_MS, redis, env: { FERRY_POOLS: 'default,a,b' } };
    const api = network.machine();
    const env = { FERRY_API_HOST: api.address, FERRY_API_TOKEN: TOKEN };
    fleet = await Fleet.start(common, { via: api.via, env });
    for (const name of ['a', 'b']) {
      const machine = network.machine();
      const env = { FERRY_POOLS: `default,${name}` };
      nodes.set(name, { machine, node: await fleet.startNode(name, { via: machine.via, env }) });
    }
  });

  afterEach(async () => {
    await fleet?.[Symbol.asyncDispose]();
    await redis?.stop();
    await network?.[Symbol.asyncDispose]();
    await dir?.release();
  });

  const stateOf = async (name: string) => (await fleet.api.nodes()).find((node) => node.name === name)?.state;

  needsNetwork(
    'stops writing within its lease, loses its job to another node, and works again when it is back',
    async () => {
      const { api } = fleet;
      const source = { type: 'file' as const, path: dir.join('source.img') };
      const target = { type: 'file' as const, path: dir.join('target.img') };
      const options = { bandwidthBytesPerSecond: 4 * MiB };
      const { id } = await api.submit({ kind: 'upload', source, target, options });
      const { node: name } = await api.until(id, (job) => (job.progress?.doneBytes ?? 0) > 0);
      const [cut, other] = name === 'a' ? (['a', 'b'] as const) : (['b', 'a'] as const);
      const { node, machine } = nodes.get(cut) as { node: FleetNode; machine: Machine };

      await using trace = await traceWrites(node.pid);
      const cutMs = Date.now();
      machine.unplug();
      const taken = await api.until(id, (job) => job.attempt > 1 && job.state === 'active');
      const takenMs = Date.now();
      expect(taken.node).to.equal(other);
      expect(takenMs - cutMs, 'taken over in time').to.be.within(LEASE_MS * 0.5, TAKEOVER_MS);
      expect(hasOpen(node.pid, target.path), 'the node that is cut off has let go of the target').to.equal(false);
      await trace.detach();
      const last = Math.max(...(await trace.calls()).map(({ endedMs }) => endedMs ?? Number.POSITIVE_INFINITY));
      expect(last, 'its last write').to.be.below(Math.min(cutMs + LEASE_MS, takenMs));

      await api.change(id, { bandwidthBytesPerSecond: null });
      expect((await api.ended(id)).state).to.equal('completed');
      await assertSameBytes(source.path, target.path);
      await until('it is lost', async () => (await stateOf(cut)) === 'lost');

      machine.plug();
      // What TCP sent in vain it sends again ever more seldom.
      await until('it is heard again', async () => (await stateOf(cut)) === 'up', 60_000);
      const next = {
        source: { ...source, path: dir.join('small.img') },
        target: { ...target, path: dir.join('next.img') },
      };
      const again = await api.ended((await api.submit({ kind: 'upload', pool: cut, ...next })).id);
      expect(again).to.include({ state: 'completed', node: cut });
      await assertSameBytes(next.source.path, next.target.path);
      expect(await api.job(id), 'the first job is as the other node left it').to.include({ node: other, attempt: 2 });
    },
  );
});

async function freePort(host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
