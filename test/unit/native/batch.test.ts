/** pwriteBatch: many pieces written together, past the page cache and through it. */
import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { MiB } from '../../../shared/units.js';
import { allocateShared, view } from '../../../workers/buffers.js';
import { loadNative } from '../../../workers/native/index.js';
import { patternBytes } from '../../helpers/bytes.js';
import { mountFileSystem, needsFileSystem } from '../../helpers/mounts.js';
import { tempDir } from '../../helpers/temp.js';
import { expectChecked, expectErrno, NO_FD, O_CREAT, O_RDWR } from './expect-error.js';

const native = loadNative();
const { O_DIRECT } = native.constants;
const PAGE = 4096;

describe('native pwriteBatch', () => {
  const buffer = view(allocateShared(native, 2 * MiB));

  before(() => {
    buffer.set(patternBytes(3, buffer.length));
  });

  // More than may be in flight at once.
  const pieces = Array.from({ length: 400 }, (_, i) => [i * PAGE, PAGE, (399 - i) * 3 * PAGE]);

  async function expectWritten(path: string): Promise<void> {
    const written = await readFile(path);
    expect(written.length).to.equal(400 * 3 * PAGE);
    const expected = Buffer.alloc(written.length, 0x11);
    for (const [offset = 0, length = 0, position = 0] of pieces) {
      expected.set(buffer.subarray(offset, offset + length), position);
    }
    expect(written.equals(expected)).to.equal(true);
  }

  async function makeFile(path: string): Promise<void> {
    const fd = native.open(path, O_RDWR | O_CREAT);
    native.ftruncate(fd, 400 * 3 * PAGE);
    native.pwrite(fd, new Uint8Array(400 * 3 * PAGE).fill(0x11), 0, 400 * 3 * PAGE, 0);
    native.fdatasync(fd);
    native.close(fd);
  }

  /** As those who use it: what it does not take is written by pwrite. @returns the number of calls that took some */
  function writeAll(fd: number): number {
    let calls = 0;
    for (let done = 0; done < pieces.length; ) {
      const count = native.pwriteBatch(fd, buffer, Float64Array.from(pieces.slice(done).flat()));
      calls += 1;
      expect(count, 'pieces taken').to.be.within(1, pieces.length - done);
      done += count;
    }
    return calls;
  }

  for (const type of ['ext4', 'xfs'] as const) {
    needsFileSystem(type)(
      `writes every piece to its place with direct I/O on ${type}, and touches nothing else`,
      async () => {
        await using fs = await mountFileSystem(type);
        await makeFile(`${fs.path}/file`);
        const fd = native.open(`${fs.path}/file`, O_RDWR | O_DIRECT);
        expect(writeAll(fd)).to.equal(2);
        native.close(fd);
        await expectWritten(`${fs.path}/file`);
      },
    );
  }

  it('writes through the page cache all the same', async () => {
    await using dir = await tempDir();
    await makeFile(dir.join('file'));
    const fd = native.open(dir.join('file'), O_RDWR);
    writeAll(fd);
    native.close(fd);
    await expectWritten(dir.join('file'));
  });

  needsFileSystem('ext4')('says that there is no space, and takes nothing for a file that is not open', async () => {
    await using fs = await mountFileSystem('ext4');
    const fd = native.open(`${fs.path}/file`, O_RDWR | O_CREAT | O_DIRECT);
    try {
      const much = Float64Array.from(Array.from({ length: 100 }, (_, i) => [0, 2 * MiB, i * 2 * MiB]).flat());
      expectErrno('ENOSPC', 'io_submit(pwrite)', () => native.pwriteBatch(fd, buffer, much));
    } finally {
      native.close(fd);
    }
    // Whoever writes them one by one then hears why.
    expect(native.pwriteBatch(NO_FD, buffer, Float64Array.of(0, PAGE, 0))).to.equal(0);
  });

  it('stays inside the buffer and checks its arguments', async () => {
    await using dir = await tempDir();
    const fd = native.open(dir.join('file'), O_RDWR | O_CREAT);
    for (const bad of [
      [0, buffer.length + 1, 0],
      [-1, 1, 0],
      [0, Number.NaN, 0],
      [0, 1, -1],
    ]) {
      const call = () => native.pwriteBatch(fd, buffer, Float64Array.from(bad));
      expect(call).to.throw(RangeError, 'each piece must lie inside the buffer');
    }
    expect(() => native.pwriteBatch(fd, buffer, Float64Array.of(0, 1))).to.throw(RangeError, 'three numbers each');
    expect(() => native.pwriteBatch(fd, buffer, [0, 1, 0] as never)).to.throw(TypeError, 'pieces must be');
    expectChecked(native.pwriteBatch, [fd, buffer, new Float64Array()], ['fd']);
    expect(native.pwriteBatch(fd, buffer, new Float64Array())).to.equal(0);
    native.close(fd);
    expect((await readFile(dir.join('file'))).length).to.equal(0);
  });
});
