/** A request that must be refused by name, and must leave queue and storage as they were. */
import { expect } from 'chai';
import type { Sent, TestApi } from './support.js';

export interface Bad {
  readonly what: string;
  /** Default: POST. */
  readonly method?: string;
  /** Default: that of the table. */
  readonly path?: string;
  /** Changes a good request; or a whole other body. */
  readonly body?: (api: TestApi) => unknown;
  readonly sent?: Sent;
  readonly status: number;
  readonly code: string;
  readonly fields?: readonly string[];
}

export const json = (text: string): Sent => ({ raw: text });
export const badRequest = { status: 400, code: 'BAD_REQUEST' };
/** An id that nothing has. */
export const GONE = '01890000-0000-7000-8000-000000000000';

/** @param storage  `api.storage()` from before */
export async function refuses(api: TestApi, bad: Bad, path: string, storage: readonly string[]): Promise<void> {
  const sent: Sent = { ...bad.sent, ...(bad.body === undefined ? {} : { body: bad.body(api) }) };
  const reply = await api.send(bad.method ?? 'POST', bad.path ?? path, sent);
  expect(reply.text).to.include(`"code":"${bad.code}"`);
  expect(reply.status).to.equal(bad.status);
  expect(reply.headers['content-type']).to.match(/^application\/problem\+json/);
  expect(reply.json).to.include({ status: bad.status, type: `urn:imageferry:error:${bad.code}` });
  expect(reply.json.title).to.be.a('string');
  expect(reply.json.detail).to.be.a('string').with.length.greaterThan(5);
  expect(reply.json.instance).to.be.a('string').that.does.not.include('?');
  if (bad.fields !== undefined) {
    expect(reply.json.errors?.map((each: { field: string }) => each.field)).to.deep.equal(bad.fields);
  }
  if (bad.status === 405) expect(reply.headers.allow).to.match(/^[A-Z]+(, [A-Z]+)*$/);
  expect(await api.jobs.counts(), 'queued').to.deep.equal({});
  const redis = api.redis.client();
  expect(await redis.keys('ferry:jobs-*:*-*'), 'entries in BullMQ').to.deep.equal([]);
  redis.disconnect();
  expect(await api.storage(), 'storage').to.deep.equal(storage);
}
