import { expect } from 'chai';
import { Registry } from 'prom-client';
import { startApi } from '../../../services/api/server.js';
import { FerryError } from '../../../shared/errors.js';
import { log, TestApi } from './support.js';

describe('API: who may call', () => {
  describe('with a token', () => {
    let api: TestApi;
    const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

    before(async () => {
      api = await TestApi.start({ token: 'correct-horse' });
    });
    after(async () => {
      await api?.stop();
    });

    it('serves who has it', async () => {
      expect((await api.send('GET', '/v1/jobs', bearer('correct-horse'))).status).to.equal(200);
      const lower = { headers: { authorization: 'bearer correct-horse', host: 'ferry.example:1' } };
      expect((await api.send('GET', '/v1/jobs', lower)).status).to.equal(200);
    });

    it('refuses a Host that is no name', async () => {
      for (const host of ['a b', 'a@b', 'http://x', '[::1']) {
        const headers = { authorization: 'Bearer correct-horse', host };
        const reply = await api.send('GET', '/v1/jobs', { headers });
        expect([reply.status, reply.json?.code], host).to.deep.equal([400, 'BAD_REQUEST']);
      }
    });

    it('refuses everybody else, everywhere but at health and the description', async () => {
      const none = [
        undefined,
        'Bearer wrong',
        'Bearer correct-hors',
        'Bearer ',
        'correct-horse',
        'Basic Y29ycmVjdC1ob3JzZQ==',
      ];
      for (const authorization of none) {
        for (const [method, path] of [
          ['GET', '/v1/jobs'],
          ['POST', '/v1/jobs'],
          ['DELETE', '/v1/jobs/01890000-0000-7000-8000-000000000000'],
          ['GET', '/v1/unknown'],
          ['PUT', '/v1/jobs'],
          ['GET', '/metrics'],
        ] as const) {
          const headers = authorization === undefined ? {} : { authorization };
          const reply = await api.send(method, path, { headers });
          expect([reply.status, reply.json.code], `${method} ${path} ${authorization}`).to.deep.equal([
            401,
            'UNAUTHORIZED',
          ]);
          expect(reply.headers['www-authenticate']).to.match(/^Bearer/);
        }
      }
      for (const path of ['/healthz', '/readyz', '/openapi.json']) {
        expect((await api.send('GET', path)).status, path).to.equal(200);
      }
    });
  });

  describe('without a token', () => {
    let api: TestApi;

    before(async () => {
      api = await TestApi.start();
    });
    after(async () => {
      await api?.stop();
    });

    it('serves loopback names only', async () => {
      for (const host of ['localhost', 'LOCALHOST:80', '127.0.0.1:8080', '127.9.9.9', '[::1]:8080']) {
        expect((await api.send('GET', '/v1/jobs', { headers: { host } })).status, host).to.equal(200);
      }
      for (const host of [
        'evil.example',
        'localhost.evil.example',
        '10.0.0.1:8080',
        '127.0.0.1.evil.example',
        'a@127.0.0.1',
      ]) {
        const reply = await api.send('GET', '/v1/jobs', { headers: { host } });
        expect([reply.status, reply.json?.code], host).to.deep.equal([400, 'BAD_REQUEST']);
      }
    });

    it('refuses web pages of other sites', async () => {
      const { host } = new URL(api.api.url);
      for (const origin of ['http://evil.example', 'null', `https://${host}`, 'http://127.0.0.1:1']) {
        const reply = await api.send('POST', '/v1/jobs', { body: api.upload(), headers: { origin } });
        expect([reply.status, reply.json.code], origin).to.deep.equal([400, 'BAD_REQUEST']);
      }
      const own = await api.send('POST', '/v1/jobs', { body: api.upload(), headers: { origin: `http://${host}` } });
      expect(own.status).to.equal(202);
    });
  });

  it('says which address it cannot listen on', async () => {
    const api = await TestApi.start();
    const { port } = new URL(api.api.url);
    const config = {
      api: { host: '127.0.0.1', port: Number(port), token: null },
      storageRoots: [],
      nbdHosts: [],
      pools: ['default'],
    };
    const { jobs, plans } = api;
    const options = { config, log, jobs, plans, version: '1', metrics: new Registry() };
    const error = await startApi(options).catch((e) => e);
    expect(error).to.be.instanceOf(FerryError);
    expect(error).to.include({ code: 'CONFIG_INVALID' });
    expect(error.message).to.include(port).and.include('EADDRINUSE');
    await api.stop();
  });

  it('checks no paths when storage is elsewhere', async () => {
    const api = await TestApi.start({ checkStorage: false });
    const source = { type: 'file', path: '/on/another/machine.img' };
    await api.submit({ source, pool: 'elsewhere' });
    await api.stop();
  });
});
