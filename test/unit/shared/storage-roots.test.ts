/** The one check that every path passes: what lies within the roots, what only looks so, and what may be there. */
import { chmod, link, mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { expect } from 'chai';
import { BLOCKING_LOOK, confinePath, type PathRequest } from '../../../shared/storage-roots.js';
import { lend } from '../../helpers/cleanup.js';
import { run, runSync } from '../../helpers/command.js';
import { failure } from '../../helpers/failure.js';
import { attachLoop, needsLoop } from '../../helpers/loop.js';
import { isRoot, needs } from '../../helpers/needs.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';

const SOURCE = { field: 'source.path', allow: ['file', 'block'], mayCreate: false } as const;
const FILE_TARGET = { field: 'target.path', allow: ['file'], mayCreate: true } as const;
const BLOCK_TARGET = { field: 'target.path', allow: ['block'], mayCreate: false } as const;

type Kind = Omit<PathRequest, 'path'>;

async function refusal(path: string, roots: readonly string[], kind: Kind = SOURCE): Promise<string> {
  const error = await failure(() => confinePath({ path, ...kind }, roots));
  expect(error.details).to.deep.equal({ field: kind.field, path });
  expect(error.message).to.match(new RegExp(`^${kind.field}: `));
  const blocking = await failure(() => confinePath({ path, ...kind }, roots, BLOCKING_LOOK));
  expect(blocking.toWire()).to.deep.equal(error.toWire());
  return error.code;
}

async function found(path: string, roots: readonly string[], kind: Kind = SOURCE) {
  const confined = await confinePath({ path, ...kind }, roots);
  expect(await confinePath({ path, ...kind }, roots, BLOCKING_LOOK)).to.deep.equal(confined);
  return confined;
}

describe('shared: confinePath', () => {
  let dir: TempDir;
  let root: string;
  let outside: string;

  beforeEach(async () => {
    dir = await tempDir();
    root = dir.join('srv');
    outside = dir.join('srv2');
    for (const path of [root, outside]) {
      await mkdir(`${path}/sub`, { recursive: true });
      await writeFile(`${path}/image`, '12345');
    }
  });
  afterEach(() => dir.release());

  it('allows a file below a root, at any depth, and says how long it is', async () => {
    await writeFile(`${root}/sub/image`, '123');
    expect(await found(`${root}/image`, [root])).to.deep.equal({ path: `${root}/image`, kind: 'file', size: 5 });
    expect(await found(`${root}/sub/image`, [root])).to.include({ kind: 'file', size: 3 });
    expect(await found(`${root}/image`, ['/nowhere', `${root}/`])).to.include({ kind: 'file' });
    expect(await found(`${root}/image`, ['/'])).to.include({ kind: 'file' });
  });

  it('allows a root that is a file itself, and nothing else there', async () => {
    expect(await found(`${root}/image`, [`${root}/image`])).to.include({ kind: 'file' });
    expect(await refusal(`${root}/image2`, [`${root}/image`], FILE_TARGET)).to.equal('PATH_FORBIDDEN');
  });

  it('says the same of each path when many are asked for at once', async () => {
    const wanted = [`${root}/image`, `${root}/sub/new`, `${root}/../srv2/image`, `${root}/none/new`];
    const ask = (path: string) =>
      confinePath({ path, ...FILE_TARGET }, [root, outside, '/nowhere']).then(
        (confined) => confined.path,
        (error) => error.code,
      );
    const answers = await Promise.all([...wanted, ...wanted].map(ask));
    const expected = [`${root}/image`, `${root}/sub/new`, `${outside}/image`, 'PATH_NOT_FOUND'];
    expect(answers).to.deep.equal([...expected, ...expected]);
  });

  it('looks anew each time: what was true a moment ago is not remembered', async () => {
    await mkdir(`${root}/d`);
    await writeFile(`${root}/d/image`, '12345');
    expect(await found(`${root}/d/image`, [root])).to.include({ path: `${root}/d/image` });
    await rename(`${root}/d`, `${root}/e`);
    await symlink(outside, `${root}/d`);
    expect(await refusal(`${root}/d/image`, [root])).to.equal('PATH_FORBIDDEN');
    expect(await refusal(`${root}/new/image`, [root], FILE_TARGET)).to.equal('PATH_NOT_FOUND');
    await mkdir(`${root}/new`);
    expect(await found(`${root}/new/image`, [root], FILE_TARGET)).to.include({ kind: null });
  });

  it('allows nothing without roots, and says what to set', async () => {
    const error = await failure(() => found(`${root}/image`, []));
    expect(error.code).to.equal('PATH_FORBIDDEN');
    expect(error.message).to.include('FERRY_STORAGE_ROOTS');
  });

  it('refuses what is outside: beside, above, with a longer name, through ..', async () => {
    for (const path of [
      `${outside}/image`,
      `${root}/../srv2/image`,
      `${root}/sub/../../srv2/image`,
      `${root}2/image`,
      '/etc/passwd',
      `${root}/${'../'.repeat(20)}etc/passwd`,
    ]) {
      expect(await refusal(path, [root]), path).to.equal('PATH_FORBIDDEN');
    }
    expect(await found(`${root}/sub/../image`, [root])).to.include({ path: `${root}/image` });
  });

  it('follows symlinks before it decides, those of the root as well', async () => {
    await symlink(`${outside}/image`, `${root}/to-file`);
    await symlink(outside, `${root}/to-dir`);
    await symlink(`${root}/image`, `${outside}/back`);
    await symlink(root, dir.join('alias'));
    expect(await refusal(`${root}/to-file`, [root])).to.equal('PATH_FORBIDDEN');
    expect(await refusal(`${root}/to-dir/image`, [root])).to.equal('PATH_FORBIDDEN');
    expect(await refusal(`${root}/to-dir/new`, [root], FILE_TARGET)).to.equal('PATH_FORBIDDEN');
    expect(await found(`${outside}/back`, [root])).to.include({ path: `${root}/image` });
    expect(await found(`${dir.join('alias')}/image`, [dir.join('alias')])).to.include({ path: `${root}/image` });
    expect(await found(`${root}/image`, [dir.join('alias')])).to.include({ path: `${root}/image` });
  });

  it('lets a file be made in a directory that is there, and only there', async () => {
    const made = { kind: null, size: 0 };
    expect(await found(`${root}/new`, [root], FILE_TARGET)).to.deep.equal({ path: `${root}/new`, ...made });
    expect(await found(`${root}/sub/../new`, [root], FILE_TARGET)).to.include({ path: `${root}/new` });
    expect(await refusal(`${root}/no/new`, [root], FILE_TARGET)).to.equal('PATH_NOT_FOUND');
    expect(await refusal(`${root}/new`, [root])).to.equal('PATH_NOT_FOUND');
    expect(await refusal(`${outside}/new`, [root], FILE_TARGET)).to.equal('PATH_FORBIDDEN');
  });

  it('refuses a dangling symlink, wherever it points', async () => {
    for (const to of [`${root}/missing`, `${outside}/missing`, '/no/where', 'itself']) {
      await symlink(to, `${root}/itself`);
      expect(await refusal(`${root}/itself`, [root], FILE_TARGET), to).to.be.oneOf([
        'PATH_FORBIDDEN',
        'PATH_NOT_FOUND',
      ]);
      await run('rm', [`${root}/itself`]);
    }
  });

  it('tells nobody what exists outside the roots', async () => {
    await run('mkdir', ['--mode=0700', `${outside}/private`]);
    for (const path of [
      `${outside}/image`,
      `${outside}/missing`,
      `${outside}/image/below-a-file`,
      `${outside}/no/such/dir`,
      `${outside}/${'x'.repeat(300)}`,
    ]) {
      for (const kind of [SOURCE, FILE_TARGET, BLOCK_TARGET]) {
        expect(await refusal(path, [root], kind), path).to.equal('PATH_FORBIDDEN');
      }
    }
    await symlink('loop-b', `${outside}/loop-a`);
    await symlink('loop-a', `${outside}/loop-b`);
    expect(await refusal(`${outside}/loop-a`, [root])).to.equal('PATH_FORBIDDEN');
  });

  it('says what is wrong with a path inside the roots that cannot be resolved', async () => {
    for (const path of [`${root}/image/below-a-file`, `${root}/${'x'.repeat(300)}`]) {
      expect(await refusal(path, [root])).to.equal('PATH_NOT_FOUND');
    }
  });

  it('refuses what cannot hold an image: a directory, a FIFO, a socket, a character device', async () => {
    await run('mkfifo', [`${root}/fifo`]);
    const server = createServer().listen(`${root}/socket`);
    for (const name of ['sub', 'fifo', 'socket', '.']) {
      for (const kind of [SOURCE, FILE_TARGET]) {
        expect(await refusal(`${root}/${name}`, [root], kind), name).to.equal('PATH_NOT_SUPPORTED');
      }
    }
    server.close();
    expect(await refusal('/dev/null', ['/dev'])).to.equal('PATH_NOT_SUPPORTED');
  });

  it('refuses a file where a device is wanted', async () => {
    expect(await refusal(`${root}/image`, [root], BLOCK_TARGET)).to.equal('PATH_NOT_SUPPORTED');
  });

  it('takes a hard link for what it is: a file below the root', async () => {
    await link(`${outside}/image`, `${root}/hard`);
    expect(await found(`${root}/hard`, [root])).to.include({ path: `${root}/hard`, kind: 'file' });
  });

  describe('devices', function () {
    this.timeout(20_000);

    needsLoop('are allowed when they are a root, by any name of theirs', async () => {
      await using device = await attachLoop({ size: 65_536 });
      await symlink(device.path, dir.join('disk'));
      const expected = { path: device.path, kind: 'block', size: 0 };
      expect(await found(device.path, [device.path], BLOCK_TARGET)).to.deep.equal(expected);
      expect(await found(device.path, [dir.join('disk')], BLOCK_TARGET)).to.deep.equal(expected);
      expect(await found(dir.join('disk'), [device.path], BLOCK_TARGET)).to.deep.equal(expected);
      expect(await refusal(device.path, [device.path], FILE_TARGET)).to.equal('PATH_NOT_SUPPORTED');
      expect(await refusal(`${device.path}x`, [device.path], BLOCK_TARGET)).to.equal('PATH_FORBIDDEN');
      expect(await refusal(device.path, [root], BLOCK_TARGET)).to.equal('PATH_FORBIDDEN');
    });

    needsLoop('are allowed below /dev, through the links of a directory there', async () => {
      await using device = await attachLoop({ size: 65_536 });
      await using vg = await devDirectory('ferry-test-vg');
      await using other = await devDirectory('ferry-test-vg2');
      await symlink(device.path, `${vg.path}/lv`);
      await symlink(device.path, `${other.path}/lv`);
      const expected = { path: device.path, kind: 'block', size: 0 };
      expect(await found(`${vg.path}/lv`, [vg.path], BLOCK_TARGET)).to.deep.equal(expected);
      expect(await found(`${vg.path}/lv`, [`${vg.path}/`], BLOCK_TARGET)).to.deep.equal(expected);
      expect(await found(device.path, ['/dev'], BLOCK_TARGET)).to.deep.equal(expected);
      for (const path of [
        device.path,
        `${other.path}/lv`,
        `${vg.path}/../ferry-test-vg2/lv`,
        `${vg.path}/..${device.path.slice('/dev'.length)}`,
      ]) {
        expect(await refusal(path, [vg.path], BLOCK_TARGET), path).to.equal('PATH_FORBIDDEN');
      }
    });

    needsLoop('are not allowed by a link that anybody could have put below /dev', async () => {
      // Symptom: with a root such as /dev/shm, any user could name any disk. Cause: names below /dev were
      // trusted because only root makes them there, which is not so in a directory that others may write to.
      await using device = await attachLoop({ size: 65_536 });
      await using shared = await devDirectory('ferry-test-shm');
      await mkdir(`${shared.path}/sub`);
      await symlink(device.path, `${shared.path}/disk`);
      await symlink(device.path, `${shared.path}/sub/disk`);
      await symlink('/dev', `${shared.path}/all`);
      await chmod(shared.path, 0o1777);
      const name = device.path.slice('/dev/'.length);
      for (const path of [`${shared.path}/disk`, `${shared.path}/sub/disk`, `${shared.path}/all/${name}`]) {
        expect(await refusal(path, [shared.path], BLOCK_TARGET), path).to.equal('PATH_FORBIDDEN');
      }
    });

    needs(isRoot, 'root')('are refused when somebody made a node of them elsewhere', async () => {
      await run('mknod', [`${root}/node`, 'b', '7', '0']);
      for (const roots of [[root], ['/']]) {
        expect(await refusal(`${root}/node`, roots, BLOCK_TARGET)).to.equal('PATH_FORBIDDEN');
      }
    });
  });
});

async function devDirectory(name: string): Promise<{ path: string } & AsyncDisposable> {
  const path = `/dev/${name}-${process.pid}`;
  await mkdir(path);
  const loan = lend(`directory ${path}`, () => void runSync('rm', ['--recursive', '--force', path]));
  return { path, ...loan };
}
