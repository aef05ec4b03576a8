/** What browsers are allowed: headers that appear only when the request has its own, errors included, never on PATCH. */
import { expect } from 'chai';
import { DataPlane } from '../../helpers/data-plane.js';
import type { RawResponse } from '../../helpers/raw-http.js';
import { json } from './expectations.js';

const ORIGIN = { Origin: 'https://engine.example.com' };
const HEADERS = { 'Access-Control-Request-Headers': 'Content-Range, X-Other' };
const METHOD = { 'Access-Control-Request-Method': 'PUT' };

describe('CORS', function () {
  this.timeout(30_000);
  let plane: DataPlane;
  let url: string;
  before(async () => {
    plane = await DataPlane.shared();
    ({ url } = await plane.image(Buffer.alloc(512)));
  });

  const allowed = (answer: RawResponse) =>
    Object.fromEntries(
      answer.headers
        .map(([name, value]) => [name.toLowerCase(), value] as const)
        .filter(([name]) => name.startsWith('access-control-')),
    );
  const age = { 'access-control-max-age': '86400' };

  const requests: { what: string; method: string; path: () => string; status: number; body?: string }[] = [
    { what: 'OPTIONS', method: 'OPTIONS', path: () => url, status: 200 },
    { what: 'OPTIONS of everything', method: 'OPTIONS', path: () => '/images/*', status: 200 },
    { what: 'OPTIONS without a ticket', method: 'OPTIONS', path: () => '/images/unknown', status: 403 },
    { what: 'GET', method: 'GET', path: () => url, status: 200 },
    { what: 'GET without a ticket', method: 'GET', path: () => '/images/unknown', status: 403 },
    { what: 'GET without an id', method: 'GET', path: () => '/images/', status: 400 },
    { what: 'PUT', method: 'PUT', path: () => url, status: 200, body: 'hello' },
    { what: 'PUT of too much', method: 'PUT', path: () => url, status: 416, body: 'x'.repeat(513) },
    { what: 'PUT with a wrong flush', method: 'PUT', path: () => `${url}?flush=x`, status: 400, body: 'hello' },
    { what: 'PUT without a ticket', method: 'PUT', path: () => '/images/unknown', status: 403, body: 'hello' },
    { what: 'GET of the version', method: 'GET', path: () => '/info/', status: 200 },
  ];
  for (const { what, method, path, status, body } of requests) {
    const ask = async (headers: Record<string, string>) => {
      const answer = await plane.request({ method, path: path(), headers, ...(body === undefined ? {} : { body }) });
      expect(answer.status).to.equal(status);
      return allowed(answer);
    };
    const methods = method === 'OPTIONS' ? 'OPTIONS,GET,PUT' : '*';

    it(`${what} (${status}) allows what is asked for, header by header`, async () => {
      expect(await ask({})).to.deep.equal({});
      expect(await ask(ORIGIN)).to.deep.equal({ 'access-control-allow-origin': '*', ...age });
      expect(await ask(HEADERS)).to.deep.equal({ 'access-control-allow-headers': '*', ...age });
      expect(await ask(METHOD)).to.deep.equal({ 'access-control-allow-methods': methods, ...age });
      expect(await ask({ ...ORIGIN, ...HEADERS, ...METHOD })).to.deep.equal({
        'access-control-allow-origin': '*',
        'access-control-allow-headers': '*',
        'access-control-allow-methods': methods,
        ...age,
      });
    });
  }

  it('GET with a range allows it too', async () => {
    for (const [range, status] of [
      ['bytes=0-9', 206],
      ['bytes=0-512', 416],
    ] as const) {
      const answer = await plane.request({ path: url, headers: { ...ORIGIN, Range: range } });
      expect(answer.status).to.equal(status);
      expect(allowed(answer)).to.deep.equal({ 'access-control-allow-origin': '*', ...age });
    }
  });

  it('PATCH never allows anything', async () => {
    for (const [path, body, status] of [
      [url, json({ op: 'flush' }), 200],
      [url, json({ op: 'fly' }), 400],
      ['/images/unknown', json({ op: 'flush' }), 403],
    ] as const) {
      const answer = await plane.request({
        method: 'PATCH',
        path,
        headers: { ...ORIGIN, ...HEADERS, ...METHOD },
        body,
      });
      expect(answer.status).to.equal(status);
      expect(allowed(answer)).to.deep.equal({});
    }
  });
});
