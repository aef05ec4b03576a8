/** Plan files: what may be written in short, and how mistakes are named. */
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { expect } from 'chai';
import { PlanDocument } from '../../../services/cli/plan/document.js';
import { type Plan, type PlanOverrides, readPlan } from '../../../services/cli/plan/read.js';
import { FerryError, type FieldProblem } from '../../../shared/errors.js';
import { GiB, MiB } from '../../../shared/units.js';
import { failure } from '../../helpers/failure.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';

describe('a plan file', () => {
  let dir: TempDir;

  beforeEach(async () => {
    dir = await tempDir();
  });

  afterEach(() => dir.release());

  async function read(text: string, overrides: PlanOverrides = {}, name = 'wave-1.yaml'): Promise<Plan> {
    await writeFile(dir.join(name), text);
    return await readPlan(dir.join(name), overrides);
  }

  /** What is said of a plan, without the directory that it lies in. */
  async function mistakes(text: string, name = 'wave-1.yaml'): Promise<string[]> {
    const error = await failure(() => read(text, {}, name));
    expect(error.code).to.equal('BAD_REQUEST');
    const problems = (error.details.errors ?? []) as readonly FieldProblem[];
    const lines = problems.length > 1 ? problems.map(({ field, message }) => `${field}: ${message}`) : [error.message];
    return lines.map((line) => line.replace(`${dir.path}/`, ''));
  }

  it('may name sources and targets by their paths, relative to itself', async () => {
    const plan = await read(`
vms:
  - name: web-1
    disks:
      - source: in/a.img
        target: out/a.img
      - source: { path: /srv/b.img }
        target: { path: ../b.img, size: 10GiB }
        options: { bandwidthBytesPerSecond: 100MiB, verify: true }
`);
    expect(plan.request).to.deep.equal({
      name: 'wave-1',
      vms: [
        {
          name: 'web-1',
          disks: [
            {
              source: { type: 'file', path: dir.join('in/a.img') },
              target: { type: 'file', path: dir.join('out/a.img') },
            },
            {
              source: { type: 'file', path: '/srv/b.img' },
              target: { type: 'file', path: `${dir.path.replace(/\/[^/]*$/, '')}/b.img`, size: 10 * GiB },
              options: { bandwidthBytesPerSecond: 100 * MiB, verify: true },
            },
          ],
        },
      ],
    });
  });

  it('takes what is below /dev for a device, unless something else is there or it says so', async () => {
    await mkdir(dir.join('dev'));
    await symlink('/dev/null', dir.join('dev/disk'));
    const plan = await read(`
vms:
  - name: web-1
    disks:
      - { source: a, target: /dev/vg/web-1 }
      - { source: a, target: { path: /dev/vg/web-1, type: file } }
      - { source: a, target: /dev/null }
      - { source: a, target: dev/disk }
      - { source: a, target: { type: block, path: x } }
`);
    const types = plan.request.vms[0]?.disks.map(({ target }) => target.type);
    expect(types).to.deep.equal(['block', 'file', 'file', 'file', 'block']);
  });

  it('may be JSON, indented with tabs', async () => {
    const text = JSON.stringify(
      { name: 'w', vms: [{ name: 'a 😀', disks: [{ source: 'a', target: 'b' }] }] },
      null,
      '\t',
    );
    const { request } = await read(text.replace('😀', '\\ud83d\\ude00'), {}, 'plan.json');
    expect(request).to.include({ name: 'w' });
    expect(request.vms[0]?.name).to.equal('a 😀');
  });

  it('gives way to flags, and keeps everything else as it was written', async () => {
    const text =
      'name: a\npool: slow\nonFailure: stop\nmaxConcurrentDisks: 3\nlabels: {x: y}\nvms: [{name: v, disks: [{source: a, target: b}]}]';
    const { request } = await read(text, { name: 'b', pool: 'fast', maxConcurrentDisks: 2 });
    expect(request).to.include({ name: 'b', pool: 'fast', onFailure: 'stop', maxConcurrentDisks: 2 });
    expect(request.labels).to.deep.equal({ x: 'y' });
  });

  it('may repeat itself by anchors, as often as there may be disks', async () => {
    const disks = Array.from({ length: 900 }, (_, n) => `      - {source: a, target: /t/${n}, options: *fast}`);
    const { request } = await read(`
vms:
  - name: a
    disks: [{source: a, target: b, options: &fast {verify: true}}]
  - name: b
    disks:
${disks.join('\n')}
      - {source: a, target: /c, options: {<<: *fast, allocation: sparse}}
`);
    expect(request.vms[1]?.disks[899]?.options).to.deep.equal({ verify: true });
    expect(request.vms[1]?.disks[900]?.options).to.deep.equal({ verify: true, allocation: 'sparse' });
  });

  it('names file, line and field of every mistake', async () => {
    const text = `name: wave-1
pools: fast
vms:
  - name: web-1
    disks:
      - source: a.img
        target:
          path: b.img
          sizes: 1
      - source: a.img
  - disks: []
    name: 7
`;
    expect(await mistakes(text)).to.have.members([
      'wave-1.yaml:2: pools: is not known',
      'wave-1.yaml:9: vms[0].disks[0].target.sizes: is not known',
      'wave-1.yaml:10: vms[0].disks[1].target: is missing',
      'wave-1.yaml:11: vms[1].disks: Too small: expected array to have >=1 items',
      'wave-1.yaml:12: vms[1].name: Invalid input: expected string, received number',
    ]);
  });

  it('finds the line of what an alias brought', async () => {
    const text = `vms:
  - name: a
    disks:
      - {source: a, target: b, options: &fast {verify: true}}
      - source: a
        target: c
        options: *fast
      - source: a
        target: d
        options:
          <<: *fast
          verify: 3
`;
    expect(await mistakes(text)).to.deep.equal([
      'wave-1.yaml:12: vms[0].disks[2].options.verify: Invalid input: expected boolean, received number',
    ]);
  });

  const wrong: [string, string, string][] = [
    ['a key that is there twice', 'name: a\nname: b\n', 'wave-1.yaml:2:1: this key is there twice'],
    ['a key that is there twice in JSON', '{"vms": [],\n "vms": []}', 'wave-1.yaml:2:2: this key is there twice'],
    [
      'a second document',
      'name: a\n---\nname: b\n',
      'wave-1.yaml:2:1: a plan is one document; here a second one begins',
    ],
    ['a tag', 'name: !!js/function x\n', 'wave-1.yaml:1:7: Unresolved tag'],
    ['broken YAML', 'vms: [\n', 'wave-1.yaml:2:1: Flow sequence'],
    ['an alias of nothing', 'name: *x\n', 'wave-1.yaml: Unresolved alias'],
    ['an empty file', '', 'wave-1.yaml:1: a plan is an object'],
    ['a list', '- a\n', 'wave-1.yaml:1: a plan is an object'],
    ['no VMs', 'name: x\n', 'wave-1.yaml:1: vms: is missing'],
    ['a size that is none', disk('{path: b, size: big}'), 'target.size: Expected a size such as'],
    ['a URL', disk('x', 'http://host/a.img'), 'vms[0].disks[0].source: must be a path or an NBD URI'],
    ['an empty path', disk('""'), 'vms[0].disks[0].target.path'],
    ['a name from another world', 'vms: []\n__proto__: {name: x}\n', '__proto__: is not known'],
    [
      'two VMs of one name',
      'vms:\n- &a {name: a, disks: [{source: a, target: b}]}\n- *a\n',
      'wave-1.yaml:1: vms: every VM must have a name of its own',
    ],
  ];
  function disk(target: string, source = 'a'): string {
    return `vms: [{name: v, disks: [{source: "${source}", target: ${target}}]}]\n`;
  }
  for (const [what, text, message] of wrong) {
    it(`refuses ${what}`, async () => {
      const said = (await mistakes(text)).join('\n');
      expect(said).to.include(message);
    });
  }

  it('refuses bytes that are no text, and what is no file', async () => {
    await writeFile(dir.join('disk.img'), Buffer.from([0xff, 0xfe, 0x00, 0x80]));
    expect((await failure(() => readPlan(dir.join('disk.img'), {}))).message).to.include('is not text in UTF-8');
    expect((await failure(() => readPlan(dir.path, {}))).code).to.equal('BAD_REQUEST');
    expect((await failure(() => readPlan(dir.join('none'), {}))).code).to.equal('PATH_NOT_FOUND');
    expect((await failure(() => readPlan('/dev/zero', {}))).code).to.equal('BODY_TOO_LARGE');
  });

  it('is not hurt by aliases of aliases, nor by many of something large', () => {
    const bomb = ['a0: &a0 [x,x,x,x,x,x,x,x,x,x]'];
    for (let n = 1; n < 12; n++)
      bomb.push(
        `a${n}: &a${n} [${Array(10)
          .fill(`*a${n - 1}`)
          .join()}]`,
      );
    expect(() => new PlanDocument('bomb', bomb.join('\n'))).to.throw(FerryError, 'Excessive alias count');
    const large = `a: &a [${Array(20_000).fill('xxxx').join()}]\nb: [${Array(9000).fill('*a').join()}]`;
    expect(() => new PlanDocument('bomb', large)).to.throw(FerryError, 'more than any server takes');
  });

  it('finds the fields that the server refuses, too', async () => {
    const plan = await read('vms:\n- name: a\n  disks:\n  - source: a\n    target: b\n');
    const refusal = new FerryError('PATH_FORBIDDEN', 'vms[0].disks[0].target.path: outside the storage roots', {
      errors: [{ field: 'vms[0].disks[0].target.path', message: 'outside the storage roots' }],
    });
    const located = plan.locate(refusal) as FerryError;
    expect(located.code).to.equal('PATH_FORBIDDEN');
    expect(located.message).to.equal(
      `${dir.join('wave-1.yaml')}:5: vms[0].disks[0].target.path: outside the storage roots`,
    );
    const other = new FerryError('QUEUE_UNAVAILABLE', 'the queue rests');
    expect(plan.locate(other)).to.equal(other);
  });
});
