/** The test helpers themselves: a helper that lies makes every test that uses it lie. */
import { existsSync, readFileSync } from 'node:fs';
import { truncate, writeFile } from 'node:fs/promises';
import { expect } from 'chai';
import {
  allocatedBytes,
  assertSameBytes,
  assertZero,
  fill,
  firstDifference,
  makeImage,
  patternBytes,
  readRange,
} from '../../helpers/bytes.js';
import { runSync } from '../../helpers/command.js';
import { attachLoop, needsLoop } from '../../helpers/loop.js';
import { FILE_SYSTEM_TYPES, mountFileSystem, needsFileSystem } from '../../helpers/mounts.js';
import { tempDir } from '../../helpers/temp.js';

const MiB = 1024 * 1024;

describe('test helpers', function () {
  this.timeout(30_000);

  it('remove a temporary directory with what is in it', async () => {
    const dir = await tempDir();
    await writeFile(dir.join('file'), 'x');
    await dir.release();
    await dir.release();
    expect(existsSync(dir.path)).to.equal(false);
  });

  it('make a sparse image whose data is the pattern of its segments', async () => {
    await using dir = await tempDir();
    const image = dir.join('image');
    await makeImage(image, 64 * MiB + 5, [{ start: 3 * MiB, length: 2 * MiB + 3, seed: 9 }]);
    expect(await readRange(image, 3 * MiB, 2 * MiB + 3)).to.deep.equal(patternBytes(9, 2 * MiB + 3));
    await assertZero(image, 0, 3 * MiB);
    await assertZero(image, 5 * MiB + 3, 59 * MiB + 2);
    expect(await allocatedBytes(image)).to.be.within(2 * MiB, 4 * MiB);
  });

  it('tell where two files differ first', async () => {
    await using dir = await tempDir();
    const [a, b] = [dir.join('a'), dir.join('b')];
    await makeImage(a, 3 * MiB, [{ start: 0, length: 3 * MiB }]);
    await makeImage(b, 3 * MiB, [{ start: 0, length: 3 * MiB }]);
    await assertSameBytes(a, b);
    await fill(b, { start: 2 * MiB + 7, length: 1, seed: 77 });
    const [was] = await readRange(a, 2 * MiB + 7, 1);
    expect(await firstDifference(a, b)).to.equal(
      `byte ${2 * MiB + 7} is ${was} in ${a} and ${patternBytes(77, 1)[0]} in ${b}`,
    );
    expect(await firstDifference(a, b, 2 * MiB)).to.equal(null);
    await truncate(b, 2 * MiB);
    expect(await firstDifference(a, b)).to.equal(`${b} ends at byte ${2 * MiB}, the other does not`);
  });

  it('find the one byte that is not zero', async () => {
    await using dir = await tempDir();
    await makeImage(dir.join('a'), 3 * MiB, [{ start: 2 * MiB + 9, length: 1, seed: 1 }]);
    const failure = await assertZero(dir.join('a'), 0, 3 * MiB).catch((error: Error) => error.message);
    expect(failure).to.match(/^byte 2097161 of .* is \d+, not zero$/);
  });

  for (const sectorSize of [512, 4096] as const) {
    needsLoop(`attach a loop device with sectors of ${sectorSize} bytes and detach it surely`, async () => {
      const device = await attachLoop({ size: 8 * MiB, sectorSize });
      expect(runSync('blockdev', ['--getss', '--getsize64', device.path])).to.equal(`${sectorSize}\n${8 * MiB}`);
      await device.release();
      expect(runSync('losetup', ['--associated', device.backing])).to.equal('');
      expect(existsSync(device.backing)).to.equal(false);
    });
  }

  needsFileSystem('ext4')('attach a loop device that passes direct I/O on', async () => {
    await using fs = await mountFileSystem('ext4');
    await using device = await attachLoop({ size: 8 * MiB, directIo: true, backing: `${fs.path}/disk` });
    await fill(device.path, { start: MiB, length: MiB });
    expect(await readRange(`${fs.path}/disk`, MiB, MiB)).to.deep.equal(patternBytes(MiB, MiB));
  });

  for (const type of FILE_SYSTEM_TYPES) {
    needsFileSystem(type)(`mount a fresh ${type} and unmount it`, async () => {
      const fs = await mountFileSystem(type);
      expect(readFileSync('/proc/self/mounts', 'utf8')).to.include(`${fs.path} ${type} `);
      await writeFile(`${fs.path}/file`, 'x');
      await fs.release();
      expect(existsSync(fs.path)).to.equal(false);
      expect(readFileSync('/proc/self/mounts', 'utf8')).not.to.include(fs.path);
    });
  }
});
