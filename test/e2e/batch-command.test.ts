/** `ferry batch` against a running `ferry serve`, as an operator uses it: a plan file, a failure, a retry. */
import { mkdir, writeFile } from 'node:fs/promises';
import { expect } from 'chai';
import { assertSameBytes, makeImage } from '../helpers/bytes.js';
import { type Service, startService } from '../helpers/service.js';
import { type TempDir, tempDir } from '../helpers/temp.js';
import { FERRY, type Finished, run } from '../integration/cli/programs.js';

const MiB = 1024 * 1024;
const SIZE = 16 * MiB;

const PLAN = `
name: wave-1
vms:
  - name: web-1
    disks:
      - { source: a.img, target: out/a.img, options: &checked { verify: true } }
  - name: db-1
    disks:
      - { source: b.img, target: { path: out/b.img, size: 32MiB }, options: *checked }
      - { source: late.img, target: out/late.img, options: *checked }
`;

describe('ferry batch against a running server', function () {
  this.timeout(60_000);
  let dir: TempDir;
  let service: Service;

  before(async () => {
    dir = await tempDir();
    await mkdir(dir.join('out'));
    await writeFile(dir.join('plan.yaml'), PLAN);
    for (const [seed, name] of ['a.img', 'b.img'].entries()) await image(name, seed + 1);
    service = await startService({ roots: [dir.path] });
  });

  after(async () => {
    await service?.[Symbol.asyncDispose]();
    await dir?.release();
  });

  async function image(name: string, seed: number): Promise<void> {
    await makeImage(dir.join(name), SIZE, [{ start: seed * MiB, length: 3 * MiB, seed }]);
  }

  async function ferry(...args: string[]): Promise<Finished> {
    return await run(FERRY, args, { FERRY_API_URL: service.url });
  }

  it('imports what it can, tells what failed, and a retry does the rest', async () => {
    const first = await ferry('batch', 'submit', dir.join('plan.yaml'), '--follow');
    expect(first.code, first.stderr).to.equal(1);
    expect(first.stdout).to.include('failed: 1 of 2 VMs, 2 of 3 disks');
    expect(first.stderr)
      .to.include(`db-1 ${dir.join('out/late.img')}: `)
      .and.include('(PATH_NOT_FOUND)');
    const [, id] = /"ferry batch retry ([0-9a-f-]+)"/.exec(first.stderr) as RegExpExecArray;

    await image('late.img', 3);
    const second = await ferry('batch', 'retry', String(id), '--follow');
    expect(second.code, second.stderr).to.equal(0);
    expect(second.stdout).to.include('completed: 2 VMs, 3 disks');
    for (const name of ['a.img', 'b.img', 'late.img'])
      await assertSameBytes(dir.join(name), dir.join('out', name), SIZE);

    const { stdout } = await ferry('batch', 'status', String(id));
    expect(stdout).to.match(/^db-1 +completed +2\/2 +100 %$/m);
    expect((await ferry('batches')).stdout).to.match(/completed +3 of 3 done .*wave-1/);
    const disks = await ferry('jobs', '--batch', String(id), '--json');
    expect(JSON.parse(disks.stdout).jobs).to.have.length(3);
  });

  it('names the line of a path that the server refuses', async () => {
    await writeFile(dir.join('wrong.yaml'), PLAN.replace('out/late.img', '/etc/late.img'));
    const { code, stderr } = await ferry('batch', 'submit', dir.join('wrong.yaml'));
    expect(code).to.equal(2);
    expect(stderr).to.include('wrong.yaml:10: vms[1].disks[1].target.path: ').and.include('(PATH_FORBIDDEN)');
  });

  it('lists the node that runs the disks', async () => {
    expect((await ferry('nodes')).stdout).to.match(/ up +default +\d\/4 /);
  });
});
