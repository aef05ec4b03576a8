/** The ioctls of block devices and O_EXCL, on loop devices with sectors of 512 and 4096 bytes. */
import { expect } from 'chai';
import { loadNative } from '../../../workers/native/index.js';
import { allocatedBytes, assertZero, fill, patternBytes, readRange } from '../../helpers/bytes.js';
import { attachLoop, type LoopDevice, needsLoop } from '../../helpers/loop.js';
import { tempDir } from '../../helpers/temp.js';
import { expectChecked, expectErrno, NO_FD, O_CREAT, O_RDONLY, O_RDWR } from './expect-error.js';

const native = loadNative();
const MiB = 1024 * 1024;

/** A device of 8 MiB full of data (pattern 3), opened. */
async function withDevice(sectorSize: 512 | 4096, body: (fd: number, device: LoopDevice) => unknown): Promise<void> {
  await using device = await attachLoop({ size: 8 * MiB, sectorSize });
  await fill(device.path, { start: 0, length: 8 * MiB, seed: 3 });
  const fd = native.open(device.path, O_RDWR);
  try {
    await body(fd, device);
  } finally {
    native.close(fd);
  }
}

describe('native block device calls', () => {
  for (const sectorSize of [512, 4096] as const) {
    describe(`with sectors of ${sectorSize} bytes`, () => {
      needsLoop('tell the size of device and sectors', async () => {
        await withDevice(sectorSize, (fd) => {
          expect(native.deviceSize(fd)).to.equal(8 * MiB);
          expect(native.seekEnd(fd)).to.equal(8 * MiB);
          expect(native.logicalSectorSize(fd)).to.equal(sectorSize);
          expect(native.physicalSectorSize(fd) % sectorSize).to.equal(0);
        });
      });

      needsLoop('zeroOut zeroes its range, leaves both sides, and the page cache knows', async () => {
        await withDevice(sectorSize, async (fd, device) => {
          const data = patternBytes(3, 8 * MiB);
          await readRange(device.path, 0, 8 * MiB); // now all of it is cached
          native.zeroOut(fd, MiB, sectorSize * 3);
          native.zeroOut(fd, 2 * MiB, 4 * MiB);
          await assertZero(device.path, MiB, sectorSize * 3);
          await assertZero(device.path, 2 * MiB, 4 * MiB);
          const after = await readRange(device.path, 0, 8 * MiB);
          for (const [start, end] of [
            [0, MiB],
            [MiB + sectorSize * 3, 2 * MiB],
            [6 * MiB, 8 * MiB],
          ] as const) {
            expect(after.subarray(start, end).equals(data.subarray(start, end))).to.equal(true);
          }
        });
      });

      needsLoop('discard gives space back', async () => {
        await withDevice(sectorSize, async (fd, device) => {
          expect(await allocatedBytes(device.backing)).to.be.at.least(8 * MiB);
          native.discard(fd, 0, 4 * MiB);
          native.fdatasync(fd);
          expect(await allocatedBytes(device.backing)).to.be.at.most(5 * MiB);
        });
      });

      needsLoop('zeroOut and discard are EINVAL off the sectors and past the end', async () => {
        await withDevice(sectorSize, (fd) => {
          for (const [start, length] of [
            [1, sectorSize],
            [0, sectorSize - 1],
            [sectorSize / 2, sectorSize],
            [8 * MiB, sectorSize],
            [0, 8 * MiB + sectorSize],
          ] as const) {
            expectErrno('EINVAL', 'ioctl(BLKZEROOUT)', () => native.zeroOut(fd, start, length));
            expectErrno('EINVAL', 'ioctl(BLKDISCARD)', () => native.discard(fd, start, length));
          }
        });
      });
    });
  }

  needsLoop('zeroOut and discard are EBADF on a device opened for reading only', async () => {
    await using device = await attachLoop({ size: MiB });
    const fd = native.open(device.path, O_RDONLY);
    try {
      expectErrno('EBADF', 'ioctl(BLKZEROOUT)', () => native.zeroOut(fd, 0, 512));
      expectErrno('EBADF', 'ioctl(BLKDISCARD)', () => native.discard(fd, 0, 512));
    } finally {
      native.close(fd);
    }
  });

  needsLoop('open with O_EXCL is EBUSY while another one holds the device', async () => {
    await using device = await attachLoop({ size: MiB });
    const { O_EXCL } = native.constants;
    const holder = native.open(device.path, O_RDWR | O_EXCL);
    try {
      expectErrno('EBUSY', 'open', () => native.open(device.path, O_RDWR | O_EXCL));
    } finally {
      native.close(holder);
    }
    native.close(native.open(device.path, O_RDWR | O_EXCL));
  });

  it('are ENOTTY on a regular file and EBADF on none', async () => {
    await using dir = await tempDir();
    const fd = native.open(dir.join('file'), O_RDWR | O_CREAT);
    const calls = {
      BLKZEROOUT: (n: number) => native.zeroOut(n, 0, 512),
      BLKDISCARD: (n: number) => native.discard(n, 0, 512),
      BLKGETSIZE64: (n: number) => native.deviceSize(n),
      BLKSSZGET: (n: number) => native.logicalSectorSize(n),
      BLKPBSZGET: (n: number) => native.physicalSectorSize(n),
    };
    for (const [name, call] of Object.entries(calls)) {
      expectErrno('ENOTTY', `ioctl(${name})`, () => call(fd));
      expectErrno('EBADF', `ioctl(${name})`, () => call(NO_FD));
    }
    native.close(fd);
  });

  it('check their arguments', () => {
    expectChecked(native.zeroOut, [NO_FD, 0, 512], ['fd', 'start', 'length']);
    expectChecked(native.discard, [NO_FD, 0, 512], ['fd', 'start', 'length']);
    for (const ask of [native.deviceSize, native.logicalSectorSize, native.physicalSectorSize]) {
      expectChecked(ask, [NO_FD], ['fd']);
    }
  });
});
