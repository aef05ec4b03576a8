/** Fingerprints of real files and devices: the same while nobody writes, another one after every kind of write. */
import { utimes } from 'node:fs/promises';
import { expect } from 'chai';
import { fingerprintOf } from '../../../workers/storage/fingerprint.js';
import { zeroRange } from '../../../workers/storage/zero-ladder.js';
import { fill } from '../../helpers/bytes.js';
import { run } from '../../helpers/command.js';
import { FD_SUBJECTS, type OpenedTarget } from '../../helpers/targets.js';

const MiB = 1024 * 1024;

describe('the fingerprint of a target', function () {
  this.timeout(30_000);
  for (const subject of FD_SUBJECTS) {
    const print = ({ io, handle }: OpenedTarget) => fingerprintOf(io, handle);

    subject.declare(`is the same as long as nobody writes: ${subject.name}`, async () => {
      // Symptom: a paused job never went on where it was on a device. A flush without anything to flush counts as a
      // write of no sectors in /sys/block/*/stat, and asking for the fingerprint flushes.
      await using target = await subject.open(8 * MiB);
      const before = print(target);
      target.io.fdatasync(target.handle.fd);
      expect(print(target)).to.deep.equal(before);
      expect(print(target)).to.deep.equal(before);
    });

    subject.declare(`is another one after a write, a zero and a write by others: ${subject.name}`, async () => {
      await using target = await subject.open(8 * MiB);
      const { io, handle } = target;
      const seen = [print(target).generation];
      const changes: (() => Promise<unknown> | unknown)[] = [
        () => io.pwrite(handle.fd, Buffer.alloc(4096, 1), 0, 4096, MiB),
        () => zeroRange(io, handle, { start: MiB, length: MiB }, 'preallocated'),
        () => zeroRange(io, handle, { start: 2 * MiB, length: MiB }, 'sparse'),
        () => fill(handle.path, { start: 4 * MiB, length: 4096 }),
      ];
      if (handle.kind === 'block') changes.push(() => run('blkdiscard', ['--force', handle.path]));
      else changes.push(() => utimes(handle.path, 1, 1));
      for (const change of changes) {
        await change();
        expect(seen).to.not.include(print(target).generation);
        seen.push(print(target).generation);
      }
    });
  }
});
