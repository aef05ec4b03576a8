import { expect } from 'chai';
import { type NodeReport, NodeView } from '../../../shared/schemas/node.js';
import { TestApi } from './support.js';

describe('API: nodes', () => {
  let api: TestApi;

  before(async () => {
    api = await TestApi.start();
  });
  after(async () => {
    await api?.stop();
  });

  const report = (name: string, state: NodeReport['state']): NodeReport => ({
    name,
    instance: '01890000-0000-7000-8000-000000000001',
    version: '1.2.3',
    host: 'host-1',
    pid: 4711,
    state,
    pools: ['default', 'fast'],
    concurrency: 4,
    threads: 8,
    bandwidthBytesPerSecond: null,
    load: { jobs: 2, busyThreads: 3, bytesPerSecond: 1e9, eventLoopDelayP99Ms: 11.5 },
    startedAt: '2026-01-01T00:00:00.000Z',
  });

  it('has none before one was heard of', async () => {
    const reply = await api.send('GET', '/v1/nodes');
    expect([reply.status, reply.json]).to.deep.equal([200, { nodes: [] }]);
  });

  it('shows each node as it last said it was, and when that was', async () => {
    await api.jobs.beat(report('node-b', 'draining'));
    await api.jobs.beat(report('node-a', 'up'));
    const { status, json } = await api.send('GET', '/v1/nodes');
    expect(status).to.equal(200);
    const nodes = json.nodes.map((node: unknown) => NodeView.parse(node)) as NodeView[];
    expect(nodes).to.deep.equal(json.nodes);
    expect(nodes.map(({ name, state }) => [name, state])).to.deep.equal([
      ['node-a', 'up'],
      ['node-b', 'draining'],
    ]);
    expect(nodes[0]).to.deep.include(report('node-a', 'up'));
    expect(Date.now() - Date.parse(nodes[0]?.heardAt as string)).to.be.within(-1000, 5000);
  });
});
