/** The fingerprint of a block device: the same while nobody writes, another one after every kind of write. */
import { expect } from 'chai';
import { loadNative } from '../../../workers/native/index.js';
import { closeStorage } from '../../../workers/storage/close.js';
import { fingerprintOf } from '../../../workers/storage/fingerprint.js';
import { openTarget } from '../../../workers/storage/open.js';
import { fill } from '../../helpers/bytes.js';
import { run } from '../../helpers/command.js';
import { attachLoop, needsLoop } from '../../helpers/loop.js';

const MiB = 1024 * 1024;

/** As a job that goes on sees it: opened, asked, closed. */
async function fingerprint(path: string) {
  const io = loadNative();
  const request = { type: 'block' as const, path, roots: [path], neededBytes: 0, fileSize: null };
  const target = await openTarget(io, { ...request, source: null, declaredZero: false });
  try {
    return fingerprintOf(io, target);
  } finally {
    closeStorage(io, target);
  }
}

describe('storage: fingerprint of a block device', () => {
  needsLoop('is the same each time while nobody writes', async () => {
    // Symptom: a job on a device that was paused began again. Kernels count flushes as writes, and we flush to ask.
    await using device = await attachLoop({ size: 8 * MiB });
    await fill(device.path, { start: 0, length: MiB, seed: 1 });
    const before = await fingerprint(device.path);
    expect(before.generation).to.be.a('string');
    expect(await fingerprint(device.path)).to.deep.equal(before);
  });

  const writes: Record<string, (path: string) => Promise<unknown>> = {
    'a write of the bytes that are there': (path) => fill(path, { start: 0, length: MiB, seed: 1 }),
    'a zeroing call': (path) => run('blkdiscard', ['--zeroout', '--length', '65536', path]),
    'a discard': (path) => run('blkdiscard', ['--length', '65536', path]),
  };
  for (const [what, write] of Object.entries(writes)) {
    needsLoop(`is another one after ${what}`, async () => {
      await using device = await attachLoop({ size: 8 * MiB });
      await fill(device.path, { start: 0, length: MiB, seed: 1 });
      const before = await fingerprint(device.path);
      await write(device.path);
      const after = await fingerprint(device.path);
      expect(after.generation).to.not.equal(before.generation);
      expect({ ...after, generation: null }).to.deep.equal({ ...before, generation: null });
    });
  }
});
