/** What a client may get wrong with jobs and elsewhere: each is refused by name. For batches: `bad-batches.test.ts`. */
import { type Bad, badRequest, GONE, json, refuses } from './refusals.js';
import { TestApi } from './support.js';

const upload = (change: (body: Record<string, Record<string, unknown>>, api: TestApi) => void) => (api: TestApi) => {
  const body = structuredClone(api.upload()) as Record<string, Record<string, unknown>>;
  change(body, api);
  return body;
};
const zero =
  (extra: Record<string, unknown>) =>
  (api: TestApi): unknown => ({ kind: 'zero', target: { type: 'file', path: api.path('out.raw') }, ...extra });

const bodies: Bad[] = [
  { what: 'JSON that ends early', sent: json('{"kind":'), status: 400, code: 'BAD_JSON' },
  { what: 'text that is not JSON', sent: json('kind=upload'), status: 400, code: 'BAD_JSON' },
  { what: 'an empty body', sent: json(''), status: 400, code: 'BAD_JSON' },
  { what: 'no body and no type', sent: {}, status: 400, code: 'BAD_JSON' },
  {
    what: 'bytes that are not UTF-8',
    sent: { raw: Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]) },
    status: 400,
    code: 'BAD_JSON',
  },
  { what: 'an array', sent: json('[]'), ...badRequest, fields: ['body'] },
  { what: 'null', sent: json('null'), ...badRequest, fields: ['body'] },
  { what: 'a number', sent: json('7'), ...badRequest, fields: ['body'] },
  { what: 'a very deep body', sent: json('['.repeat(200_000) + ']'.repeat(200_000)), ...badRequest, fields: ['body'] },
  { what: 'more than 1 MiB', sent: json(`"${'x'.repeat(1 << 20)}"`), status: 413, code: 'BODY_TOO_LARGE' },
  {
    what: 'a form, as a web page would send it',
    sent: { raw: 'kind=upload', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
    status: 415,
    code: 'UNSUPPORTED_MEDIA_TYPE',
  },
  {
    what: 'JSON called text',
    sent: { raw: '{}', headers: { 'content-type': 'text/plain' } },
    status: 415,
    code: 'UNSUPPORTED_MEDIA_TYPE',
  },
  {
    what: 'another character set',
    sent: { raw: '{}', headers: { 'content-type': 'application/json; charset=latin1' } },
    status: 415,
    code: 'UNSUPPORTED_MEDIA_TYPE',
  },
  {
    what: 'a compressed body',
    sent: { raw: '{}', headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' } },
    status: 415,
    code: 'UNSUPPORTED_MEDIA_TYPE',
  },
];

const requests: Bad[] = [
  { what: 'no kind', body: upload((b) => delete b.kind), ...badRequest, fields: ['kind'] },
  { what: 'an unknown kind', body: upload((b) => Object.assign(b, { kind: 'x' })), ...badRequest, fields: ['kind'] },
  { what: 'no source', body: upload((b) => delete b.source), ...badRequest, fields: ['source'] },
  { what: 'no target', body: upload((b) => delete b.target), ...badRequest, fields: ['target'] },
  {
    what: 'an unknown field',
    body: upload((b) => Object.assign(b, { priority: 1 })),
    ...badRequest,
    fields: ['priority'],
  },
  {
    what: 'several unknown fields, also deep ones',
    body: upload((b) => {
      Object.assign(b, { colour: 'red' });
      Object.assign(b.source as object, { size: 1 });
    }),
    ...badRequest,
    fields: ['source.size', 'colour'],
  },
  {
    what: 'a __proto__ field',
    sent: json('{"kind":"upload","__proto__":{"x":1}}'),
    ...badRequest,
    fields: ['__proto__'],
  },
  {
    what: 'a __proto__ label',
    sent: json('{"kind":"upload","labels":{"__proto__":"x"}}'),
    ...badRequest,
    fields: ['labels.__proto__'],
  },
  {
    what: 'a path that is a number',
    body: upload((b) => Object.assign(b.source as object, { path: 7 })),
    ...badRequest,
    fields: ['source.path'],
  },
  {
    what: 'a relative path',
    body: upload((b) => Object.assign(b.source as object, { path: 'in.img' })),
    ...badRequest,
    fields: ['source.path'],
  },
  {
    what: 'a path with ..',
    body: upload((b, api) => Object.assign(b.source as object, { path: `${api.path('sub')}/../in.img` })),
    ...badRequest,
    fields: ['source.path'],
  },
  {
    what: 'a path with a NUL byte',
    body: upload((b, api) => Object.assign(b.target as object, { path: `${api.path('new')}\0.raw` })),
    ...badRequest,
    fields: ['target.path'],
  },
  {
    what: 'a path that is too long',
    body: upload((b) => Object.assign(b.source as object, { path: `/${'a'.repeat(5000)}` })),
    ...badRequest,
    fields: ['source.path'],
  },
  {
    what: 'an unknown source type',
    body: upload((b) => Object.assign(b.source as object, { type: 'ftp' })),
    ...badRequest,
    fields: ['source.type'],
  },
  {
    what: 'an unknown target type',
    body: upload((b) => Object.assign(b.target as object, { type: 'tape' })),
    ...badRequest,
    fields: ['target.type'],
  },
  {
    what: 'a format that is not served yet',
    body: upload((b) => Object.assign(b.source as object, { format: 'vmdk' })),
    ...badRequest,
    fields: ['source.format'],
  },
  {
    what: 'a target size of 0',
    body: upload((b) => Object.assign(b.target as object, { size: 0 })),
    ...badRequest,
    fields: ['target.size'],
  },
  {
    what: 'a size that is a fraction',
    body: upload((b) => Object.assign(b.target as object, { size: 4096.5 })),
    ...badRequest,
    fields: ['target.size'],
  },
  {
    what: 'a size beyond 2^53',
    sent: json('{"kind":"zero","target":{"type":"file","path":"/x/y","size":9007199254740993}}'),
    ...badRequest,
    fields: ['target.size'],
  },
  {
    what: 'a size of 1e400',
    sent: json('{"kind":"zero","target":{"type":"file","path":"/x/y","size":1e400}}'),
    ...badRequest,
    fields: ['target.size'],
  },
  {
    what: 'a size as text',
    body: upload((b) => Object.assign(b.target as object, { size: '4096' })),
    ...badRequest,
    fields: ['target.size'],
  },
  {
    what: 'an unknown allocation',
    body: upload((b) => Object.assign(b, { options: { allocation: 'thick' } })),
    ...badRequest,
    fields: ['options.allocation'],
  },
  {
    what: 'an unknown option',
    body: upload((b) => Object.assign(b, { options: { compress: true } })),
    ...badRequest,
    fields: ['options.compress'],
  },
  {
    what: 'an option that is not a boolean',
    body: upload((b) => Object.assign(b, { options: { verify: 'yes' } })),
    ...badRequest,
    fields: ['options.verify'],
  },
  {
    what: 'a priority out of range',
    body: upload((b) => Object.assign(b, { options: { priority: 1001 } })),
    ...badRequest,
    fields: ['options.priority'],
  },
  {
    what: 'options of an upload on a zero',
    body: zero({ options: { verify: true } }),
    ...badRequest,
    fields: ['options.verify'],
  },
  { what: 'a source on a zero', body: zero({ source: {} }), ...badRequest, fields: ['source'] },
  { what: 'no ranges in ranges', body: zero({ ranges: [] }), ...badRequest, fields: ['ranges'] },
  {
    what: 'a range of length 0',
    body: zero({ ranges: [{ start: 0, length: 0 }] }),
    ...badRequest,
    fields: ['ranges[0].length'],
  },
  {
    what: 'a range that starts below 0',
    body: zero({
      ranges: [
        { start: 0, length: 1 },
        { start: -1, length: 1 },
      ],
    }),
    ...badRequest,
    fields: ['ranges[1].start'],
  },
  {
    what: 'a range that ends beyond 2^53',
    body: zero({ ranges: [{ start: 2 ** 53 - 1, length: 2 ** 53 - 1 }] }),
    ...badRequest,
    fields: ['ranges[0]'],
  },
  {
    what: 'too many ranges',
    body: zero({ ranges: Array.from({ length: 10_001 }, (_, i) => ({ start: i, length: 1 })) }),
    ...badRequest,
    fields: ['ranges'],
  },
  {
    what: 'a bad pool name',
    body: upload((b) => Object.assign(b, { pool: 'A:B' })),
    ...badRequest,
    fields: ['pool'],
  },
  {
    what: 'a label that is a number',
    body: upload((b) => Object.assign(b, { labels: { vm: 1 } })),
    ...badRequest,
    fields: ['labels.vm'],
  },
  {
    what: 'too many labels',
    body: upload((b) =>
      Object.assign(b, { labels: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`l${i}`, ''])) }),
    ),
    ...badRequest,
    fields: ['labels'],
  },
];

const refusedPath = (what: string, name: string, code: string, status: number): Bad => ({
  what: `a source that is ${what}`,
  body: upload((b, api) => Object.assign(b.source as object, { path: api.path(name) })),
  status,
  code,
  fields: ['source.path'],
});
const refusedTarget = (what: string, target: (api: TestApi) => object, code: string, status: number): Bad => ({
  what: `a target that is ${what}`,
  body: upload((b, api) => Object.assign(b, { target: target(api) })),
  status,
  code,
  fields: ['target.path'],
});
const file = (name: string) => (api: TestApi) => ({ type: 'file', path: api.path(name) });
const block = (name: string) => (api: TestApi) => ({ type: 'block', path: api.path(name) });

const storage: Bad[] = [
  refusedPath('missing', 'none.img', 'PATH_NOT_FOUND', 422),
  refusedPath('a directory', 'sub', 'PATH_NOT_SUPPORTED', 422),
  refusedPath('a FIFO', 'fifo', 'PATH_NOT_SUPPORTED', 422),
  refusedPath('a symlink that leads out', 'leak.img', 'PATH_FORBIDDEN', 403),
  refusedPath('below a file', 'in.img/x', 'PATH_NOT_FOUND', 422),
  {
    what: 'a source outside the roots',
    body: upload((b) => Object.assign(b.source as object, { path: '/etc/passwd' })),
    status: 403,
    code: 'PATH_FORBIDDEN',
    fields: ['source.path'],
  },
  refusedTarget('outside the roots', (api) => ({ type: 'file', path: api.dir.join('x') }), 'PATH_FORBIDDEN', 403),
  refusedTarget('a device outside the roots', () => ({ type: 'block', path: '/dev/zero' }), 'PATH_FORBIDDEN', 403),
  refusedTarget('a directory', file('sub'), 'PATH_NOT_SUPPORTED', 422),
  refusedTarget('a FIFO', file('fifo'), 'PATH_NOT_SUPPORTED', 422),
  refusedTarget('in a missing directory', file('none/new.raw'), 'PATH_NOT_FOUND', 422),
  refusedTarget('a symlink to nothing', file('dangling.img'), 'PATH_FORBIDDEN', 403),
  refusedTarget('a file where a block device was said', block('out.raw'), 'PATH_NOT_SUPPORTED', 422),
  refusedTarget('a missing block device', block('nodev'), 'PATH_NOT_FOUND', 422),
  refusedTarget('the source', file('in.img'), 'TARGET_IS_SOURCE', 422),
  refusedTarget('another name of the source', file('alias.img'), 'TARGET_IS_SOURCE', 422),
  {
    what: 'an unknown pool',
    body: upload((b) => Object.assign(b, { pool: 'elsewhere' })),
    status: 422,
    code: 'POOL_UNKNOWN',
    fields: ['pool'],
  },
];

const key = (value: string | string[]): Partial<Bad> => ({
  sent: { headers: { 'idempotency-key': value } },
  body: (api) => api.upload(),
  ...badRequest,
  fields: ['Idempotency-Key'],
});

const others: Bad[] = [
  { what: 'an empty Idempotency-Key', ...key('') } as Bad,
  { what: 'an Idempotency-Key that is too long', ...key('k'.repeat(256)) } as Bad,
  { what: 'an Idempotency-Key that is not ASCII', ...key('k\xe9y') } as Bad,
  { what: 'two Idempotency-Keys', ...key(['a', 'b']) } as Bad,
  {
    what: 'dryRun that is no boolean',
    path: '/v1/jobs?dryRun=1',
    body: (a) => a.upload(),
    ...badRequest,
    fields: ['dryRun'],
  },
  {
    what: 'an unknown parameter',
    path: '/v1/jobs?dryrun=true',
    body: (a) => a.upload(),
    ...badRequest,
    fields: ['dryrun'],
  },
  { what: 'a repeated parameter', method: 'GET', path: '/v1/jobs?limit=1&limit=2', ...badRequest, fields: ['limit'] },
  { what: 'a bad encoding in the query', method: 'GET', path: '/v1/jobs?pool=%zz', ...badRequest, fields: ['query'] },
  { what: 'a __proto__ parameter', method: 'GET', path: '/v1/jobs?__proto__=1', ...badRequest, fields: ['__proto__'] },
  { what: 'an unknown state', method: 'GET', path: '/v1/jobs?state=done', ...badRequest, fields: ['state'] },
  { what: 'an unknown kind to list', method: 'GET', path: '/v1/jobs?kind=copy', ...badRequest, fields: ['kind'] },
  ...['0', '1001', '-1', '', '1e2', '0x10', '2.5', ' 7'].map((limit) => ({
    what: `limit=${JSON.stringify(limit)}`,
    method: 'GET',
    path: `/v1/jobs?limit=${encodeURIComponent(limit)}`,
    ...badRequest,
    fields: ['limit'],
  })),
  { what: 'a cursor that is not ours', method: 'GET', path: '/v1/jobs?cursor=abc', ...badRequest, fields: ['cursor'] },
  { what: 'a wait that is too long', method: 'GET', path: `/v1/jobs/${GONE}?wait=61`, ...badRequest, fields: ['wait'] },
  { what: 'a wait that is no number', method: 'GET', path: `/v1/jobs/${GONE}?wait=`, ...badRequest, fields: ['wait'] },
  { what: 'a job that does not exist', method: 'GET', path: `/v1/jobs/${GONE}`, status: 404, code: 'JOB_NOT_FOUND' },
  { what: 'a job id that is no UUID', method: 'GET', path: '/v1/jobs/1', status: 404, code: 'JOB_NOT_FOUND' },
  {
    what: 'a UUID of another version',
    method: 'GET',
    path: `/v1/jobs/${GONE.replace('-7', '-4')}`,
    status: 404,
    code: 'JOB_NOT_FOUND',
  },
  { what: 'a path that is badly encoded', method: 'GET', path: '/v1/jobs/%ff', ...badRequest },
  { what: 'events of no job', method: 'GET', path: `/v1/jobs/${GONE}/events`, status: 404, code: 'JOB_NOT_FOUND' },
  { what: 'cancel of no job', method: 'DELETE', path: `/v1/jobs/${GONE}`, status: 404, code: 'JOB_NOT_FOUND' },
  { what: 'retry of no job', path: `/v1/jobs/${GONE}/retry`, status: 404, code: 'JOB_NOT_FOUND' },
  {
    what: 'a parameter on cancel',
    method: 'DELETE',
    path: `/v1/jobs/${GONE}?force=1`,
    ...badRequest,
    fields: ['force'],
  },
  {
    what: 'a body with fields on retry',
    path: `/v1/jobs/${GONE}/retry`,
    sent: json('{"now":true}'),
    ...badRequest,
    fields: ['now'],
  },
  {
    what: 'a form on retry',
    path: `/v1/jobs/${GONE}/retry`,
    sent: { headers: { 'content-type': 'text/plain' } },
    status: 415,
    code: 'UNSUPPORTED_MEDIA_TYPE',
  },
  { what: 'an unknown resource', method: 'GET', path: '/v1/disks', status: 404, code: 'NOT_FOUND' },
  { what: 'a slash too many', method: 'GET', path: '/v1/jobs/', status: 404, code: 'NOT_FOUND' },
  { what: 'another case', method: 'GET', path: '/v1/Jobs', status: 404, code: 'NOT_FOUND' },
  { what: 'a method that jobs lack', method: 'PUT', path: '/v1/jobs', status: 405, code: 'METHOD_NOT_ALLOWED' },
  {
    what: 'a method that a job lacks',
    method: 'PUT',
    path: `/v1/jobs/${GONE}`,
    status: 405,
    code: 'METHOD_NOT_ALLOWED',
  },
  { what: 'GET of retry', method: 'GET', path: `/v1/jobs/${GONE}/retry`, status: 405, code: 'METHOD_NOT_ALLOWED' },
  { what: 'POST to health', path: '/healthz', status: 405, code: 'METHOD_NOT_ALLOWED' },
];

describe('API: bad input', () => {
  let api: TestApi;
  let storageBefore: string[];

  before(async () => {
    api = await TestApi.start();
    storageBefore = await api.storage();
  });
  after(async () => {
    await api?.stop();
  });

  for (const [group, table] of Object.entries({ bodies, requests, storage, others })) {
    describe(group, () => {
      for (const bad of table) {
        it(`refuses ${bad.what}: ${bad.status} ${bad.code}`, () => refuses(api, bad, '/v1/jobs', storageBefore));
      }
    });
  }
});
