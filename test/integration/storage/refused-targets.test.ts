/** Targets and sources that are refused before a byte is written: the code, and that nothing was touched. */
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { expect } from 'chai';
import type { ErrorCode } from '../../../shared/errors.js';
import { KiB, MiB } from '../../../shared/units.js';
import { loadNative } from '../../../workers/native/index.js';
import type { Workers } from '../../../workers/pool.js';
import { assertSameBytes, makeImage } from '../../helpers/bytes.js';
import { run } from '../../helpers/command.js';
import { failure } from '../../helpers/failure.js';
import { attachLoop, needsLoop } from '../../helpers/loop.js';
import { mountFileSystem, needsFileSystem } from '../../helpers/mounts.js';
import { isRoot, needs } from '../../helpers/needs.js';
import { assertFilledWith, fillWith } from '../../helpers/storage-kinds.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';
import { beforeFirst, jobRun, openPaths, runJob, startWorkers } from '../../helpers/transfer.js';

const SIZE = 2 * MiB;

describe('storage: what is refused before a byte is written', function () {
  this.timeout(60_000);
  let workers: Workers;
  let dir: TempDir;
  let opened: string[];

  before(() => {
    workers = startWorkers(2);
  });
  after(() => workers.close());

  beforeEach(async () => {
    dir = await tempDir();
    await makeImage(dir.join('image'), SIZE, [{ start: 0, length: MiB }]);
    opened = openPaths();
  });
  afterEach('no descriptor is left open', async () => {
    expect(openPaths()).to.deep.equal(opened);
    expect(workers.buffers.inUse).to.equal(0);
    await dir.release();
  });

  async function upload(
    type: 'file' | 'block',
    path: string,
    more: { source?: string; size?: number; root?: string } = {},
  ) {
    const { source = dir.join('image'), size, root = dir.path } = more;
    const target = type === 'file' ? { type, path, ...(size === undefined ? {} : { size }) } : { type, path };
    return await runJob(jobRun(workers, [dir.path, root]), {
      kind: 'upload',
      source: { type: 'file', path: source },
      target,
    });
  }

  async function refused(code: ErrorCode, job: Promise<unknown>): Promise<void> {
    expect((await failure(() => job)).code).to.equal(code);
  }

  for (const sectorSize of [512, 4096] as const) {
    needsLoop(`a device that is one sector of ${sectorSize} too small keeps every byte`, async () => {
      await using device = await attachLoop({ size: SIZE - sectorSize, sectorSize });
      await fillWith(device.path, device.size, 0xff);
      opened = openPaths();
      await refused('TARGET_TOO_SMALL', upload('block', device.path, { root: device.path }));
      await assertFilledWith(device.path, 0, device.size, 0xff);
    });
  }

  it('a file of a size that is too small is not made; an old one keeps its size and bytes', async () => {
    await refused('TARGET_TOO_SMALL', upload('file', dir.join('new'), { size: SIZE - 1 }));
    expect(await stat(dir.join('new')).catch(() => null)).to.equal(null);
    await fillWith(dir.join('old'), KiB, 0xff);
    await refused('TARGET_TOO_SMALL', upload('file', dir.join('old'), { size: SIZE - 1 }));
    expect((await stat(dir.join('old'))).size).to.equal(KiB);
    await assertFilledWith(dir.join('old'), 0, KiB, 0xff);
  });

  needsFileSystem('ext4')('a mounted device is busy', async () => {
    await using fs = await mountFileSystem('ext4');
    const mounts = await readFile('/proc/self/mounts', 'utf8');
    const device = mounts
      .split('\n')
      .find((line) => line.split(' ')[1] === fs.path)
      ?.split(' ')[0] as string;
    await writeFile(`${fs.path}/mine`, 'still here');
    await refused('TARGET_BUSY', upload('block', device, { root: device }));
    await run('sync', ['--file-system', fs.path]);
    expect(await readFile(`${fs.path}/mine`, 'utf8')).to.equal('still here');
  });

  needsLoop('a device that another program has claimed is busy', async () => {
    await using device = await attachLoop({ size: SIZE });
    const { O_RDONLY, O_EXCL } = loadNative().constants;
    const fd = loadNative().open(device.path, O_RDONLY | O_EXCL);
    try {
      opened = openPaths();
      await refused('TARGET_BUSY', upload('block', device.path, { root: device.path }));
      opened = opened.filter((path) => path !== device.path);
    } finally {
      loadNative().close(fd);
    }
  });

  for (const kind of ['file', 'block'] as const) {
    const declare = kind === 'block' ? needsLoop : needs(true, '');
    declare(`a ${kind} that another job writes is busy, and that job is not disturbed`, async () => {
      const device = kind === 'block' ? await attachLoop({ size: SIZE }) : undefined;
      const path = device?.path ?? dir.join('target');
      await makeImage(dir.join('other'), SIZE, [{ start: MiB, length: MiB, seed: 5 }]);
      let second: Promise<unknown> | undefined;
      const meanwhile = beforeFirst(workers, 'copy', async () => {
        second = failure(() => upload(kind, path, { root: path, source: dir.join('other') }));
        await second;
      });
      await runJob(jobRun(meanwhile, [dir.path, path]), {
        kind: 'upload',
        source: { type: 'file', path: dir.join('image') },
        target: { type: kind, path },
      });
      expect(await second).to.have.property('code', 'TARGET_BUSY');
      await assertSameBytes(dir.join('image'), path);
      // And it is free again afterwards.
      await upload(kind, path, { root: path, source: dir.join('other') });
      await assertSameBytes(dir.join('other'), path);
      await device?.release();
    });
  }

  it('the source itself, also by a symlink within the roots', async () => {
    await symlink(dir.join('image'), dir.join('link'));
    for (const name of ['image', 'link']) await refused('TARGET_IS_SOURCE', upload('file', dir.join(name)));
    expect((await stat(dir.join('image'))).size).to.equal(SIZE);
  });

  needsLoop('the source device itself', async () => {
    await using device = await attachLoop({ size: SIZE });
    opened = openPaths();
    await refused('TARGET_IS_SOURCE', upload('block', device.path, { source: device.path, root: device.path }));
  });

  it('a symlink that leads out of the roots, as target and as source', async () => {
    await using outside = await tempDir();
    await writeFile(outside.join('secret'), 'secret');
    await symlink(outside.join('secret'), dir.join('file-link'));
    await symlink(outside.path, dir.join('dir-link'));
    for (const path of [dir.join('file-link'), dir.join('dir-link', 'secret'), dir.join('dir-link', 'new')]) {
      await refused('PATH_FORBIDDEN', upload('file', path));
    }
    await refused('PATH_FORBIDDEN', upload('file', dir.join('x'), { source: dir.join('file-link') }));
    expect(await readFile(outside.join('secret'), 'utf8')).to.equal('secret');
    expect(await stat(outside.join('new')).catch(() => null)).to.equal(null);
  });

  it('a dangling symlink: nothing is made where it points', async () => {
    await using outside = await tempDir();
    for (const [name, to] of [
      ['inside', dir.join('missing')],
      ['outside', outside.join('missing')],
    ] as const) {
      await symlink(to, dir.join(name));
      await refused('PATH_FORBIDDEN', upload('file', dir.join(name)));
      expect(await stat(to).catch(() => null)).to.equal(null);
    }
  });

  it('a FIFO and a directory, as target and as source', async () => {
    await run('mkfifo', [dir.join('fifo')]);
    await mkdir(dir.join('dir'));
    for (const name of ['fifo', 'dir']) {
      await refused('PATH_NOT_SUPPORTED', upload('file', dir.join(name)));
      await refused('PATH_NOT_SUPPORTED', upload('file', dir.join('x'), { source: dir.join(name) }));
    }
  });

  needs(isRoot, 'root')('device nodes that somebody made below a root', async () => {
    await run('mknod', [dir.join('loop'), 'b', '7', '0']);
    await run('mknod', [dir.join('zero'), 'c', '1', '5']);
    for (const type of ['block', 'file'] as const) await refused('PATH_FORBIDDEN', upload(type, dir.join('loop')));
    await refused('PATH_FORBIDDEN', upload('file', dir.join('x'), { source: dir.join('loop') }));
    await refused('PATH_NOT_SUPPORTED', upload('file', dir.join('zero')));
  });

  it('a missing source, an empty source, a target in a missing directory', async () => {
    await writeFile(dir.join('empty'), '');
    await refused('PATH_NOT_FOUND', upload('file', dir.join('x'), { source: dir.join('missing') }));
    await refused('SOURCE_EMPTY', upload('file', dir.join('x'), { source: dir.join('empty') }));
    await refused('PATH_NOT_FOUND', upload('file', dir.join('no', 'x')));
    expect(await stat(dir.join('x')).catch(() => null)).to.equal(null);
  });
});
