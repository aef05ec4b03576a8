import { expect } from 'chai';
import { BatchView } from '../../../shared/schemas/batch.js';
import { FakeNode } from './fake-node.js';
import { TestApi } from './support.js';

const VMS = 250;
const DISKS = 4;
const ALL = VMS * DISKS;

describe('API: a batch of a thousand disks', () => {
  let api: TestApi;

  before(async () => {
    api = await TestApi.start();
  });
  after(async () => {
    await api?.stop();
  });

  it('is accepted at once, and can be followed to its end', async function () {
    this.timeout(120_000);
    const acts = Array<string>(DISKS).fill('complete');
    const vms = Array.from({ length: VMS }, (_, n) => ({ name: `vm-${n}`, acts }));
    const startedAt = performance.now();
    const id = await api.submitBatch(vms, { maxConcurrentDisks: 50 });
    expect(performance.now() - startedAt, 'ms to accept').to.be.below(5000);

    const asked = performance.now();
    const queued = BatchView.parse((await api.send('GET', `/v1/batches/${id}`)).json);
    expect(performance.now() - asked, 'ms to read').to.be.below(1000);
    expect(queued.counts.queued).to.equal(ALL);
    expect(queued.vms.length).to.equal(VMS);

    const node = new FakeNode(api.redis.url, api.jobs);
    let done = 0;
    const batch: BatchView = await api.until(`/v1/batches/${id}`, ({ counts, endedAt }: BatchView) => {
      expect(counts.completed, 'never goes back').to.be.at.least(done);
      done = counts.completed;
      expect(Object.values(counts).reduce((sum, count) => sum + count)).to.equal(ALL);
      return endedAt !== null;
    });
    await node.close();
    expect(batch.state).to.equal('completed');
    expect(batch.progress).to.include({ percent: 100, etaSeconds: 0 });
    for (const vm of batch.vms) expect(vm.state).to.equal('completed');
  });
});
