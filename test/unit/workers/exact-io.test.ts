/**
 * Reads, writes and zeroes are exact to the byte, whatever their offset and length: many random ones, against
 * a model in memory, on every kind of target. A seed that fails fails again.
 */
import { expect } from 'chai';
import { MiB } from '../../../shared/units.js';
import { allocateShared, view } from '../../../workers/buffers.js';
import { loadNative } from '../../../workers/native/index.js';
import { readTarget, writeTarget } from '../../../workers/storage/transfer.js';
import { zeroTarget } from '../../../workers/storage/zero.js';
import { patternBytes, readRange } from '../../helpers/bytes.js';
import { FaultyIo } from '../../helpers/faulty-io.js';
import { Seeded } from '../../helpers/seeded.js';
import { FD_SUBJECTS, type OpenedTarget, SUBJECTS } from '../../helpers/targets.js';

/** No multiple of 512: a device rounds it up. */
const SIZE = MiB + 12_345;
const OPERATIONS = 400;
/** Lengths around these meet every border: of bytes, sectors, pages and buffers. */
const LENGTHS = [1, 2, 511, 512, 513, 4095, 4096, 4097, 8192, 65_536, 100_000];

describe('workers: exact reads, writes and zeroes', function () {
  this.timeout(60_000);

  for (const subject of SUBJECTS) {
    for (const seed of [1, 2]) {
      subject.declare(`on ${subject.name}: any mix leaves what the model says (seed ${seed})`, async () => {
        await using target = await subject.open(SIZE);
        const model = await runRandom(target, new Seeded(seed));
        const found = await readRange(target.readable, 0, model.length + 1);
        expect(firstDifference(found, model)).to.equal(-1);
      });
    }
  }

  for (const subject of SUBJECTS) {
    subject.declare(
      `on ${subject.name}: one byte, at every place of a sector's border, touches no neighbour`,
      async () => {
        await using target = await subject.open(64 * 1024);
        const { io, handle } = target;
        const model = Buffer.from(patternBytes(3, handle.size));
        writeTarget(io, handle, shared(model), 0, model.length, 0);
        const one = shared(Buffer.of(0x42));
        for (const border of [0, 512, 4096, 8192, handle.size]) {
          for (const position of [border - 1, border]) {
            if (position < 0 || position >= handle.size) continue;
            writeTarget(io, handle, one, 0, 1, position);
            model[position] = 0x42;
          }
        }
        zeroTarget(io, handle, { start: 12_287, length: 1 }, 'preallocated');
        model[12_287] = 0;
        expect(firstDifference(await readRange(target.readable, 0, model.length), model)).to.equal(-1);
      },
    );

    subject.declare(`on ${subject.name}: a write of nothing and a zero of nothing change nothing`, async () => {
      const faulty = new FaultyIo();
      await using target = await subject.open(8192, faulty.io);
      const before = faulty.calls.length;
      writeTarget(faulty.io, target.handle, new Uint8Array(8), 4, 0, 5);
      zeroTarget(faulty.io, target.handle, { start: 5, length: 0 }, 'sparse');
      expect(faulty.calls.slice(before).map((call) => call.name)).to.deep.equal([]);
    });
  }

  for (const subject of FD_SUBJECTS.filter(({ name }) => name.includes('device'))) {
    subject.declare(
      `on ${subject.name}: memory that does not fit direct I/O goes past the page cache too`,
      async () => {
        // Buffered writes of a part of a page would race with direct writes of the rest of it.
        const faulty = new FaultyIo();
        await using target = await subject.open(SIZE, faulty.io);
        const { handle } = target;
        const data = shared(patternBytes(5, 64 * 1024 + 1));
        writeTarget(faulty.io, handle, data, 1, 64 * 1024, 4096);
        expect(faulty.made('pwrite', (fd) => fd === handle.fd)).to.have.length(0);
        expect(await readRange(handle.path, 4096, 64 * 1024)).to.deep.equal(Buffer.from(data.subarray(1)));
      },
    );
  }
});

async function runRandom(target: OpenedTarget, random: Seeded): Promise<Buffer> {
  const { io, handle } = target;
  const model = Buffer.from(patternBytes(99, handle.size));
  writeTarget(io, handle, shared(model), 0, model.length, 0);
  const data = shared(patternBytes(100, 2 * MiB));
  const room = shared(Buffer.alloc(256 * 1024));
  for (let i = 0; i < OPERATIONS; i += 1) {
    const start = random.pick([random.below(handle.size), border(random, handle.size, handle.sectorSize)]);
    const wanted = random.pick([random.pick(LENGTHS), random.below(200_000), handle.size - start]);
    const length = Math.min(wanted, handle.size - start);
    const what = random.below(4);
    if (what === 0) {
      zeroTarget(io, handle, { start, length }, random.pick(['preallocated', 'sparse']));
      model.fill(0, start, start + length);
    } else if (what === 1) {
      const count = Math.min(length, room.length - 8);
      const offset = random.below(8);
      room.fill(0xee);
      const label = `read ${i} of [${start}, ${start + count})`;
      expect(readTarget(io, handle, room, offset, count, start)).to.equal(count, label);
      const differs = firstDifference(room.subarray(offset, offset + count), model.subarray(start, start + count));
      expect(differs).to.equal(-1, label);
    } else {
      // Aligned memory as the copy has it, and any other.
      const offset = random.pick([0, start % handle.sectorSize, random.below(MiB / 4)]);
      writeTarget(io, handle, data, offset, length, start);
      model.set(data.subarray(offset, offset + length), start);
    }
  }
  return model;
}

function border(random: Seeded, size: number, unit: number): number {
  const at = random.below(Math.ceil(size / unit)) * unit + random.between(-1, 1);
  return Math.min(Math.max(at, 0), size - 1);
}

function shared(data: Uint8Array): Uint8Array {
  const memory = view(allocateShared(loadNative(), data.length));
  memory.set(data);
  return memory;
}

function firstDifference(a: Uint8Array, b: Uint8Array): number {
  if (a.length === b.length && Buffer.compare(a, b) === 0) return -1;
  for (let i = 0; i < Math.min(a.length, b.length); i += 1) if (a[i] !== b[i]) return i;
  return Math.min(a.length, b.length);
}
