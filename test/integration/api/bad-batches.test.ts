/** What a client may get wrong with batches and nodes: each is refused by name, and leaves queue and storage alone. */
import { type Bad, badRequest, GONE, json, refuses } from './refusals.js';
import { TestApi } from './support.js';

type Body = {
  vms: { name?: unknown; disks: Record<string, Record<string, unknown>>[] }[];
} & Record<string, unknown>;

const batch = (change: (body: Body) => void) => (api: TestApi) => {
  const vms = [
    { name: 'web-1', acts: ['complete', 'complete'] },
    { name: 'web-2', acts: ['complete'] },
  ];
  const body = structuredClone(api.batch(vms)) as Body;
  change(body);
  return body;
};
const disk = (change: (disk: Record<string, Record<string, unknown>>) => void) =>
  batch((body) => change(body.vms[0]?.disks[1] as Record<string, Record<string, unknown>>));
const wrong = (what: string, body: Bad['body'], ...fields: string[]): Bad => ({
  what,
  ...(body === undefined ? {} : { body }),
  ...badRequest,
  fields,
});

const bodies: Bad[] = [
  wrong(
    'no name',
    batch((b) => delete b.name),
    'name',
  ),
  wrong(
    'an empty name',
    batch((b) => Object.assign(b, { name: '   ' })),
    'name',
  ),
  wrong(
    'a name with a line break',
    batch((b) => Object.assign(b, { name: 'a\nb' })),
    'name',
  ),
  wrong(
    'a name that is too long',
    batch((b) => Object.assign(b, { name: 'x'.repeat(256) })),
    'name',
  ),
  wrong(
    'no VMs',
    batch((b) => delete (b as Record<string, unknown>).vms),
    'vms',
  ),
  wrong(
    'an empty list of VMs',
    batch((b) => Object.assign(b, { vms: [] })),
    'vms',
  ),
  wrong(
    'two VMs of one name',
    batch((b) => Object.assign(b.vms[1] as object, { name: 'web-1' })),
    'vms',
  ),
  wrong(
    'a VM without a name',
    batch((b) => delete b.vms[1]?.name),
    'vms[1].name',
  ),
  wrong(
    'a VM without disks',
    batch((b) => Object.assign(b.vms[1] as object, { disks: [] })),
    'vms[1].disks',
  ),
  wrong(
    'an unknown field',
    batch((b) => Object.assign(b, { priority: 1 })),
    'priority',
  ),
  wrong(
    'an unknown field of a VM',
    batch((b) => Object.assign(b.vms[1] as object, { cpus: 2 })),
    'vms[1].cpus',
  ),
  wrong(
    'an unknown field of a disk',
    disk((d) => Object.assign(d, { size: 1 })),
    'vms[0].disks[1].size',
  ),
  wrong(
    'a disk without a source',
    disk((d) => delete d.source),
    'vms[0].disks[1].source',
  ),
  wrong(
    'a relative path',
    disk((d) => Object.assign(d.target as object, { path: 'x' })),
    'vms[0].disks[1].target.path',
  ),
  wrong(
    'an unknown type of a source',
    disk((d) => Object.assign(d.source as object, { type: 'ftp' })),
    'vms[0].disks[1].source.type',
  ),
  wrong(
    'a client as a source',
    disk((d) => Object.assign(d, { source: { type: 'client', size: 4096 } })),
    'vms[0].disks[1].source.type',
  ),
  wrong(
    'a download',
    disk((d) => Object.assign(d, { kind: 'download' })),
    'vms[0].disks[1].kind',
  ),
  wrong(
    'an unknown option',
    disk((d) => Object.assign(d, { options: { compress: true } })),
    'vms[0].disks[1].options.compress',
  ),
  wrong(
    'a bandwidth below 64 KiB/s',
    disk((d) => Object.assign(d, { options: { bandwidthBytesPerSecond: 65_535 } })),
    'vms[0].disks[1].options.bandwidthBytesPerSecond',
  ),
  ...[0, 1001, 2.5, '10', null].map((value) =>
    wrong(
      `maxConcurrentDisks ${JSON.stringify(value)}`,
      batch((b) => Object.assign(b, { maxConcurrentDisks: value })),
      'maxConcurrentDisks',
    ),
  ),
  wrong(
    'an unknown onFailure',
    batch((b) => Object.assign(b, { onFailure: 'panic' })),
    'onFailure',
  ),
  wrong(
    'a bad pool name',
    batch((b) => Object.assign(b, { pool: 'A:B' })),
    'pool',
  ),
  wrong(
    'a label that is a number',
    batch((b) => Object.assign(b, { labels: { wave: 1 } })),
    'labels.wave',
  ),
  wrong(
    'more than 10,000 VMs',
    batch((b) => Object.assign(b, { vms: Array(10_001).fill(0) })),
    'vms',
  ),
  {
    what: 'a __proto__ field of a disk',
    sent: json('{"name":"x","vms":[{"name":"y","disks":[{"__proto__":{"x":1}}]}]}'),
    ...badRequest,
    fields: ['vms[0].disks[0].__proto__'],
  },
  { what: 'JSON that ends early', sent: json('{"name":'), status: 400, code: 'BAD_JSON' },
  { what: 'an array', sent: json('[]'), ...badRequest, fields: ['body'] },
  { what: 'no body', sent: {}, status: 400, code: 'BAD_JSON' },
  { what: 'more than 1 MiB', sent: json(`"${'x'.repeat(1 << 20)}"`), status: 413, code: 'BODY_TOO_LARGE' },
  {
    what: 'JSON called text',
    sent: { raw: '{}', headers: { 'content-type': 'text/plain' } },
    status: 415,
    code: 'UNSUPPORTED_MEDIA_TYPE',
  },
  {
    what: 'an empty Idempotency-Key',
    sent: { headers: { 'idempotency-key': '' } },
    body: batch(() => {}),
    ...badRequest,
    fields: ['Idempotency-Key'],
  },
  { what: 'a dry run', path: '/v1/batches?dryRun=true', body: batch(() => {}), ...badRequest, fields: ['dryRun'] },
];

const get = (what: string, path: string, field: string): Bad => ({
  what,
  method: 'GET',
  path,
  ...badRequest,
  fields: [field],
});
const missing = (method: string, path: string): Bad => ({
  what: `${method} ${path}`,
  method,
  path,
  status: 404,
  code: path.startsWith('/v1/batches') ? 'BATCH_NOT_FOUND' : 'JOB_NOT_FOUND',
});

const parameters: Bad[] = [
  get('an unknown state', '/v1/batches?state=done', 'state'),
  get('a kind', '/v1/batches?kind=upload', 'kind'),
  get('a bad pool', '/v1/batches?pool=A', 'pool'),
  get('limit=0', '/v1/batches?limit=0', 'limit'),
  get('a cursor that is not ours', '/v1/batches?cursor=abc', 'cursor'),
  get('a wait that is too long', `/v1/batches/${GONE}?wait=61`, 'wait'),
  get('a parameter of events', `/v1/batches/${GONE}/events?since=1`, 'since'),
  get('a parameter of nodes', '/v1/nodes?pool=default', 'pool'),
  get('a batch id that is no id in a list of jobs', '/v1/jobs?batch=wave-1', 'batch'),
  {
    what: 'a parameter on cancel',
    method: 'DELETE',
    path: `/v1/batches/${GONE}?force=1`,
    ...badRequest,
    fields: ['force'],
  },
];

const unknown: Bad[] = [
  ...['GET', 'DELETE'].flatMap((method) =>
    [`/v1/batches/${GONE}`, '/v1/batches/1'].map((path) => missing(method, path)),
  ),
  missing('GET', `/v1/batches/${GONE}/events`),
  ...['pause', 'resume', 'retry'].map((verb) => missing('POST', `/v1/batches/${GONE}/${verb}`)),
  ...['pause', 'resume'].map((verb) => missing('POST', `/v1/jobs/${GONE}/${verb}`)),
  { ...missing('PATCH', `/v1/jobs/${GONE}`), sent: json('{"priority":1}') },
];

const actions: Bad[] = [`/v1/jobs/${GONE}`, `/v1/batches/${GONE}`].flatMap((path) =>
  ['pause', 'resume', 'retry'].flatMap((verb): Bad[] => [
    {
      what: `a body with fields: ${path}/${verb}`,
      path: `${path}/${verb}`,
      sent: json('{"now":true}'),
      ...badRequest,
      fields: ['now'],
    },
    {
      what: `a form: ${path}/${verb}`,
      path: `${path}/${verb}`,
      sent: { headers: { 'content-type': 'text/plain' } },
      status: 415,
      code: 'UNSUPPORTED_MEDIA_TYPE',
    },
    { what: `GET: ${path}/${verb}`, method: 'GET', path: `${path}/${verb}`, status: 405, code: 'METHOD_NOT_ALLOWED' },
  ]),
);

const patch = (what: string, body: unknown, ...fields: string[]): Bad => ({
  what,
  method: 'PATCH',
  path: `/v1/jobs/${GONE}`,
  body: () => body,
  ...badRequest,
  fields,
});

const patches: Bad[] = [
  patch('nothing to change', {}, 'body'),
  patch('an array', [], 'body'),
  patch('an unknown field', { priority: 1, verify: true }, 'verify'),
  ...[-1, 1001, 1.5, '1', null].map((value) =>
    patch(`priority ${JSON.stringify(value)}`, { priority: value }, 'priority'),
  ),
  ...[0, 65_535, 1e300, '1M', false].map((value) =>
    patch(
      `bandwidthBytesPerSecond ${JSON.stringify(value)}`,
      { bandwidthBytesPerSecond: value },
      'bandwidthBytesPerSecond',
    ),
  ),
  { what: 'no body', method: 'PATCH', path: `/v1/jobs/${GONE}`, status: 400, code: 'BAD_JSON' },
];

const methods: Bad[] = [
  ['PUT', '/v1/batches'],
  ['PATCH', `/v1/batches/${GONE}`],
  ['POST', `/v1/batches/${GONE}/events`],
  ['POST', '/v1/nodes'],
].map(([method, path]) => ({
  what: `${method} ${path}`,
  method: method as string,
  path: path as string,
  status: 405,
  code: 'METHOD_NOT_ALLOWED',
}));

describe('API: bad input to batches, live jobs and nodes', () => {
  let api: TestApi;
  let storage: string[];

  before(async () => {
    api = await TestApi.start();
    storage = await api.storage();
  });
  after(async () => {
    await api?.stop();
  });

  for (const [group, table] of Object.entries({ bodies, parameters, unknown, actions, patches, methods })) {
    describe(group, () => {
      for (const bad of table) {
        it(`refuses ${bad.what}: ${bad.status} ${bad.code}`, () => refuses(api, bad, '/v1/batches', storage));
      }
    });
  }
});
