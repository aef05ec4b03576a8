/**
 * Whole jobs while the kernel refuses calls or fails them (strace injects the errors), through the real addon
 * on real threads: what the result says was used, and how failures are reported.
 */
import { expect } from 'chai';
import { MiB } from '../../../shared/units.js';
import type { ZeroMethod } from '../../../shared/zero-methods.js';
import { allocatedBytes, assertSameBytes, makeImage } from '../../helpers/bytes.js';
import { hasCommand } from '../../helpers/command.js';
import { attachLoop, hasLoopDevices } from '../../helpers/loop.js';
import { needs, needsCommands } from '../../helpers/needs.js';
import { fillWith } from '../../helpers/storage-kinds.js';
import { runJobWith } from '../../helpers/strace.js';
import { tempDir } from '../../helpers/temp.js';

const SIZE = 8 * MiB;
const DATA = [{ start: MiB, length: MiB }];
const needsStrace = needsCommands('strace');
const needsBoth = needs(hasLoopDevices && hasCommand('strace'), 'strace, root and a free loop device');
const NO_FALLOCATE = ['fallocate:error=EOPNOTSUPP'];

describe('storage: system calls that are refused or fail', function () {
  this.timeout(60_000);

  for (const allocation of ['preallocated', 'sparse'] as const) {
    needsBoth(`without fallocate, a ${allocation} import onto a device uses BLKZEROOUT`, async () => {
      await using dir = await tempDir();
      await using device = await attachLoop({ size: SIZE });
      await makeImage(dir.join('image'), SIZE, DATA);
      await fillWith(device.path, SIZE, 0xff);
      const { result, error, leaked } = await runJobWith(NO_FALLOCATE, {
        request: upload(dir.join('image'), 'block', device.path, { allocation }),
        roots: [dir.path, device.path],
      });
      expect(error).to.equal(undefined);
      expect(methods(result)).to.deep.equal(['blkzeroout']);
      expect(result?.plan?.zeroMethods).to.deep.equal(['blkzeroout', 'write-zeroes']);
      await assertSameBytes(dir.join('image'), device.path);
      expect(leaked).to.deep.equal([]);
    });
  }

  needsStrace('without fallocate, a preallocated file is written, and has all its space', async () => {
    await using dir = await tempDir();
    await makeImage(dir.join('image'), SIZE + 5, DATA);
    const { result, error, leaked } = await runJobWith(NO_FALLOCATE, {
      request: upload(dir.join('image'), 'file', dir.join('target')),
      roots: [dir.path],
    });
    expect(error).to.equal(undefined);
    expect(methods(result)).to.deep.equal(['write-zeroes']);
    await assertSameBytes(dir.join('image'), dir.join('target'));
    expect(await allocatedBytes(dir.join('target'))).to.be.at.least(SIZE + 5);
    expect(leaked).to.deep.equal([]);
  });

  needsStrace('a flush that fails is FLUSH_FAILED, and nothing counts as durable', async () => {
    await using dir = await tempDir();
    await makeImage(dir.join('image'), SIZE, DATA);
    const { error, leaked } = await runJobWith(['fdatasync:error=EIO'], {
      request: upload(dir.join('image'), 'file', dir.join('target')),
      roots: [dir.path],
    });
    expect(error?.code).to.equal('FLUSH_FAILED');
    expect(error?.details).to.include({ errno: 5, syscall: 'fdatasync', path: dir.join('target') });
    expect(leaked).to.deep.equal([]);
  });

  for (const [call, file] of [
    ['pwrite64', 'target'],
    ['pread64', 'image'],
  ] as const) {
    needsStrace(`an I/O error of ${call} on the ${file} is STORAGE_IO at once`, async () => {
      await using dir = await tempDir();
      await makeImage(dir.join('image'), SIZE, [{ start: 0, length: SIZE }]);
      const { error, leaked } = await runJobWith(
        [`${call}:error=EIO`],
        { request: upload(dir.join('image'), 'file', dir.join('target')), roots: [dir.path] },
        [dir.join(file)],
      );
      expect(error?.code).to.equal('STORAGE_IO');
      expect(error?.details).to.include({ errno: 5, syscall: call.replace('64', ''), path: dir.join(file) });
      expect(leaked).to.deep.equal([]);
    });
  }

  needsStrace('direct writes that are refused only when they are made go through the page cache', async () => {
    await using dir = await tempDir();
    await makeImage(dir.join('image'), SIZE, [{ start: 0, length: SIZE }]);
    const { result, error } = await runJobWith(['pwrite64:error=EINVAL:when=1'], {
      request: upload(dir.join('image'), 'file', dir.join('target'), { verify: true }),
      roots: [dir.path],
    });
    expect(error).to.equal(undefined);
    expect(result?.copiedBytes).to.equal(SIZE);
    await assertSameBytes(dir.join('image'), dir.join('target'));
  });
});

function upload(source: string, type: 'file' | 'block', path: string, options = {}) {
  return { kind: 'upload' as const, source: { type: 'file' as const, path: source }, target: { type, path }, options };
}

function methods(result: { readonly zeroed: readonly { readonly method: ZeroMethod }[] } | undefined): ZeroMethod[] {
  return (result?.zeroed ?? []).map((use) => use.method);
}
