import { expect } from 'chai';
import { FerryError } from '../../../shared/errors.js';
import { PlanClient, servePlans } from '../../../shared/queue/plans.js';
import type { Plan } from '../../../shared/schemas/job.js';
import { storageName } from '../../../shared/storage-name.js';
import { TestRedis } from '../../helpers/redis.js';
import { codeOf } from './code-of.js';
import { log, result, uploadRequest } from './support.js';

describe('plans over the queue', () => {
  let redis: TestRedis;
  const closers: { close(): Promise<void> }[] = [];

  before(async () => {
    redis = await TestRedis.start();
  });
  afterEach(async () => {
    for (const each of closers.splice(0)) await each.close();
  });
  after(async () => {
    await redis?.stop();
  });

  function client(timeoutMs?: number): PlanClient {
    const plans = new PlanClient({ redisUrl: redis.url, log, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
    closers.push(plans);
    return plans;
  }
  function serve(handler: (name: string) => Promise<Plan>, pools = ['default']): void {
    closers.push(
      servePlans({ redisUrl: redis.url, pools, log }, (request) =>
        handler('target' in request ? storageName(request.target) : ''),
      ),
    );
  }

  it('brings the request to a node and its plan back, from the first one on', async () => {
    for (let i = 0; i < 5; i++) {
      serve(async (path) => ({ ...result.plan, reason: path }));
      expect(await client().plan(uploadRequest('p'))).to.deep.equal({ ...result.plan, reason: '/srv/out/p.raw' });
      for (const each of closers.splice(0)) await each.close();
    }
  });

  it('answers many at once, each with its own', async () => {
    serve(async (path) => ({ ...result.plan, reason: path }));
    const plans = client();
    const reasons = await Promise.all(
      Array.from({ length: 30 }, async (_, i) => (await plans.plan(uploadRequest(`p${i}`))).reason),
    );
    expect(reasons).to.deep.equal(Array.from({ length: 30 }, (_, i) => `/srv/out/p${i}.raw`));
  });

  it('rebuilds the error of the node, with its code and details', async () => {
    const details = { field: 'storageName(target)', path: '/srv/out/a.raw', errno: 16, syscall: 'open' };
    serve(async () => {
      throw new FerryError('TARGET_BUSY', 'the target is mounted', details);
    });
    const error = await client()
      .plan(uploadRequest())
      .catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(FerryError);
    expect((error as FerryError).toWire()).to.deep.equal({
      code: 'TARGET_BUSY',
      message: 'the target is mounted',
      details,
    });
  });

  it('makes INTERNAL of what the node did not expect', async () => {
    serve(async () => {
      throw new TypeError('undefined is not a function');
    });
    expect(await codeOf(client().plan(uploadRequest()))).to.equal('INTERNAL');
  });

  it('says NODE_UNAVAILABLE when no node of the pool answers in time, and withdraws the question', async () => {
    const asked: string[] = [];
    expect(await codeOf(client(200).plan(uploadRequest('late')))).to.equal('NODE_UNAVAILABLE');
    serve(async (path) => {
      asked.push(path);
      return result.plan;
    });
    await client().plan(uploadRequest('now'));
    expect(asked).to.deep.equal(['/srv/out/now.raw']);
  });

  it('asks only nodes of the pool', async () => {
    serve(async () => result.plan, ['fast']);
    expect(await codeOf(client(200).plan(uploadRequest()))).to.equal('NODE_UNAVAILABLE');
    expect(await client().plan(uploadRequest('f', { pool: 'fast' }))).to.deep.equal(result.plan);
  });

  it('says QUEUE_UNAVAILABLE soon when Redis is away, and works when it is back', async function () {
    this.timeout(20_000);
    const plans = client();
    serve(async () => result.plan);
    await plans.plan(uploadRequest());
    await redis.kill();
    const startedAt = performance.now();
    expect(await codeOf(plans.plan(uploadRequest()))).to.equal('QUEUE_UNAVAILABLE');
    expect(performance.now() - startedAt).to.be.below(5000);
    await redis.start();
    while ((await codeOf(plans.plan(uploadRequest()))) !== 'no error');
  });
});
