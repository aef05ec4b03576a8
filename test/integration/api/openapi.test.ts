import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { ERRORS } from '../../../shared/errors.js';
import { TestApi } from './support.js';

type Node = Record<string, unknown>;

const OPERATIONS = [
  'GET /healthz',
  'GET /metrics',
  'GET /openapi.json',
  'GET /readyz',
  'GET /v1/batches',
  'POST /v1/batches',
  'DELETE /v1/batches/{id}',
  'GET /v1/batches/{id}',
  'GET /v1/batches/{id}/events',
  'POST /v1/batches/{id}/pause',
  'POST /v1/batches/{id}/resume',
  'POST /v1/batches/{id}/retry',
  'GET /v1/jobs',
  'POST /v1/jobs',
  'DELETE /v1/jobs/{id}',
  'GET /v1/jobs/{id}',
  'PATCH /v1/jobs/{id}',
  'GET /v1/jobs/{id}/events',
  'POST /v1/jobs/{id}/finalize',
  'POST /v1/jobs/{id}/pause',
  'POST /v1/jobs/{id}/resume',
  'POST /v1/jobs/{id}/retry',
  'GET /v1/nodes',
];

describe('API: its description', () => {
  let api: TestApi;
  let document: Node;

  before(async () => {
    api = await TestApi.start();
    document = (await api.send('GET', '/openapi.json')).json;
  });
  after(async () => {
    await api?.stop();
  });

  function operations(): { name: string; operation: Node }[] {
    return Object.entries(document.paths as Record<string, Node>).flatMap(([path, item]) =>
      Object.entries(item).map(([method, operation]) => ({
        name: `${method.toUpperCase()} ${path}`,
        operation: operation as Node,
      })),
    );
  }

  it('is OpenAPI 3.1 with every route and no other', () => {
    expect(document.openapi).to.match(/^3\.1\.\d$/);
    expect(document.info).to.include({ title: 'imageferry', version: '1.2.3' });
    expect(
      operations()
        .map(({ name }) => name)
        .sort(),
    ).to.deep.equal([...OPERATIONS].sort());
    const ids = operations().map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).to.equal(ids.length);
  });

  it('refers only to what it contains', () => {
    let refs = 0;
    const visit = (node: unknown): void => {
      if (typeof node !== 'object' || node === null) return;
      for (const [key, value] of Object.entries(node)) {
        if (key === '$ref') {
          refs++;
          const parts = String(value).split('/');
          expect(parts.shift()).to.equal('#');
          let here: unknown = document;
          for (const part of parts)
            here = (here as Node | undefined)?.[part.replaceAll('~1', '/').replaceAll('~0', '~')];
          expect(here, String(value)).to.be.an('object');
        } else visit(value);
      }
    };
    visit(document);
    expect(refs).to.be.greaterThan(10);
  });

  it('declares every path parameter and a problem for everything that can go wrong', () => {
    for (const { name, operation } of operations()) {
      const parameters = (operation.parameters ?? []) as {
        in: string;
        name: string;
        required?: boolean;
        schema: Node;
      }[];
      const inPath = [...name.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      const declared = parameters.filter((each) => each.in === 'path');
      expect(
        declared.map((each) => each.name),
        name,
      ).to.deep.equal(inPath);
      for (const each of declared) expect(each.required, name).to.equal(true);
      for (const each of parameters) expect(each.schema, `${name} ${each.name}`).to.be.an('object');
      const responses = operation.responses as Record<string, { description: string; content?: Node }>;
      expect(responses, name).to.have.property('500');
      if (name.includes('/v1/')) expect(responses, name).to.include.keys('401', '400', '503');
      for (const [status, response] of Object.entries(responses)) {
        expect(response.description, `${name} ${status}`).to.be.a('string');
        if (Number(status) < 400) continue;
        expect(response.content?.['application/problem+json'], `${name} ${status}`).to.deep.equal({
          schema: { $ref: '#/components/schemas/Problem' },
        });
      }
    }
  });

  it('describes parameters as they are checked', () => {
    const list = (document.paths as Record<string, Record<string, Node>>)['/v1/jobs']?.get as Node;
    const parameters = list.parameters as { name: string; required?: boolean; schema: Node }[];
    expect(parameters.map((each) => each.name).sort()).to.deep.equal([
      'batch',
      'cursor',
      'kind',
      'limit',
      'pool',
      'state',
    ]);
    const limit = parameters.find((each) => each.name === 'limit');
    expect(limit?.schema).to.include({ type: 'integer', minimum: 1, maximum: 1000 });
    const batch = parameters.find((each) => each.name === 'batch');
    expect(batch?.schema).to.include({ type: 'string', format: 'uuid' });
    for (const each of parameters) expect(each.required ?? false).to.equal(false);
  });

  it('describes requests as a client writes them: defaults may be left out, unknown fields may not be there', () => {
    const { schemas } = document.components as { schemas: Record<string, Node> };
    const upload = schemas.UploadRequest as Node;
    expect(upload.required).to.deep.equal(['kind', 'source', 'target']);
    expect(upload.additionalProperties).to.equal(false);
    const batch = schemas.BatchRequest as Node;
    expect(batch.required).to.deep.equal(['name', 'vms']);
    expect(batch.additionalProperties).to.equal(false);
    expect((schemas.JobPatch as Node).required).to.equal(undefined);
  });

  it('has every error code in docs/api.md, with its status', async () => {
    const text = await readFile(new URL('../../../../docs/api.md', import.meta.url), 'utf8');
    const rows = [...text.matchAll(/^\| `([A-Z_]+)` \| (\d{3}) \| (yes|no) \| ([^|]+) \|/gm)];
    const documented = rows.map(([, code, status, retry, title]) => `${code} ${status} ${retry} ${title?.trim()}`);
    const actual = Object.entries(ERRORS).map(
      ([code, { status, retry, title }]) => `${code} ${status} ${retry ? 'yes' : 'no'} ${title}`,
    );
    expect(documented).to.deep.equal(actual);
  });
});
