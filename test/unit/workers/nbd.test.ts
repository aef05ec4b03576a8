/** What the NBD layer makes of its connections and of answers that no real server can be made to give. */
import { expect } from 'chai';
import { MiB } from '../../../shared/units.js';
import type { NativeIo } from '../../../workers/native/index.js';
import type { NbdSource } from '../../../workers/storage/handle.js';
import { blockStatus } from '../../../workers/storage/nbd.js';
import { readSource } from '../../../workers/storage/transfer.js';
import { failure } from '../../helpers/failure.js';

const buffer = new Uint8Array(8);

describe('NBD connections', () => {
  it('are taken while they are free, whichever thread asks, and given back', () => {
    const source = exportOf([11, 12, 13]);
    const used: number[] = [];
    // Each request makes another before it has ended, as threads at once do.
    const io = {
      nbdRead(connection: number) {
        used.push(connection);
        if (used.length % 3 !== 0) read(io, source);
      },
    } as unknown as NativeIo;
    read(io, source);
    read(io, source);
    expect(used).to.deep.equal([11, 12, 13, 11, 12, 13]);
  });

  it('are given back by a request that failed', () => {
    const source = exportOf([11]);
    const used: number[] = [];
    const io = {
      nbdRead(connection: number) {
        used.push(connection);
        throw new Error('refused');
      },
    } as unknown as NativeIo;
    expect(() => read(io, source)).to.throw('refused');
    expect(() => read(io, source)).to.throw('refused');
    expect(used).to.deep.equal([11, 11]);
  });
});

describe('NBD block status', () => {
  for (const answer of [[], [0, 0], [0, 0, 0, 3]]) {
    it(`is an error, not asked for for ever, when a server answers [${answer}]`, async () => {
      const io = { nbdBlockStatus: () => Float64Array.from(answer) } as unknown as NativeIo;
      const error = await failure(() => blockStatus(io, exportOf([1]), MiB, 'base:allocation', () => {}));
      expect(error.code).to.equal('STORAGE_IO');
    });
  }

  it('joins what is the same on both sides of two answers, and cuts what goes past the end', () => {
    const answers = [
      [MiB / 4, 0, MiB / 4, 3],
      [MiB / 4, 3, MiB, 0],
    ];
    const io = { nbdBlockStatus: () => Float64Array.from(answers.shift() ?? []) } as unknown as NativeIo;
    const status = blockStatus(io, exportOf([1]), MiB, 'base:allocation', () => {}) as Float64Array;
    expect([...status]).to.deep.equal([MiB / 4, 0, MiB / 2, 3, MiB / 4, 0]);
  });
});

function read(io: NativeIo, source: NbdSource): void {
  readSource(io, source, buffer, 0, buffer.length, 0);
}

function exportOf(connections: readonly number[]): NbdSource {
  return {
    kind: 'nbd',
    connections,
    turns: new SharedArrayBuffer((connections.length + 1) * 4),
    minimumBlock: 1,
    longestTransfer: MiB,
    contexts: ['base:allocation'],
    path: 'nbd://localhost:10809/',
    size: MiB,
    identity: { id: 'nbd:nbd://localhost:10809/', size: MiB, modified: null, changed: null },
  };
}
