/** GET: whole images and ranges of them, and what is said of ranges that are not there. */
import { expect } from 'chai';
import { patternBytes } from '../../helpers/bytes.js';
import { DataPlane } from '../../helpers/data-plane.js';
import { expectEmpty, expectError } from './expectations.js';

const MiB = 1024 * 1024;
const SIZE = 10_000;

describe('GET /images/{id}', function () {
  this.timeout(30_000);
  let plane: DataPlane;
  before(async () => {
    plane = await DataPlane.shared();
  });

  const content = patternBytes(4, SIZE);
  const image = (fields = {}) => plane.image(content, { ops: ['read'], ...fields });
  const get = ({ url }: { url: string }, range?: string) =>
    plane.request({ path: url, headers: range === undefined ? {} : { Range: range } });

  it('gives the whole image', async () => {
    const answer = await get(await image());
    expect(answer.status).to.equal(200);
    expect(answer.header('content-type')).to.equal('application/octet-stream');
    expect(answer.header('content-length')).to.equal(String(SIZE));
    expect(answer.header('content-range')).to.equal(undefined);
    expect(answer.body.equals(content)).to.equal(true);
  });

  it('gives no more than the ticket, and no more than there is', async () => {
    const small = await get(await image({ size: 777 }));
    expect(small.status).to.equal(200);
    expect(small.body.equals(content.subarray(0, 777))).to.equal(true);
    const large = await get(await image({ size: SIZE * 2 }));
    expect(large.status).to.equal(200);
    expect(large.body.equals(content)).to.equal(true);
    expectEmpty(await get(await plane.image(Buffer.alloc(0), { ops: ['read'], size: SIZE })));
    expectEmpty(await get(await image({ size: 0 })));
  });

  it('gives a large image', async () => {
    const large = patternBytes(6, 40 * MiB + 1);
    const answer = await get(await plane.image(large, { ops: ['read'] }));
    expect(answer.body.equals(large)).to.equal(true);
  });

  for (const [range, first, last] of [
    ['bytes=0-', 0, SIZE - 1],
    ['bytes=0-0', 0, 0],
    ['bytes=1-1', 1, 1],
    ['bytes=511-512', 511, 512],
    ['bytes=4096-8191', 4096, 8191],
    ['bytes=4097-', 4097, SIZE - 1],
    [`bytes=${SIZE - 1}-`, SIZE - 1, SIZE - 1],
    [`bytes=0-${SIZE - 1}`, 0, SIZE - 1],
    [`bytes=9-${SIZE - 1}`, 9, SIZE - 1],
  ] as const) {
    it(`gives ${range} with 206`, async () => {
      const answer = await get(await image(), range);
      expect(answer.status).to.equal(206);
      expect(answer.header('content-range')).to.equal(`bytes ${first}-${last}/${SIZE}`);
      expect(answer.header('content-length')).to.equal(String(last - first + 1));
      expect(answer.header('content-type')).to.equal('application/octet-stream');
      expect(answer.body.equals(content.subarray(first, last + 1))).to.equal(true);
    });
  }

  it('tells the size of the ticket with a range of a smaller image', async () => {
    const ticket = await image({ size: SIZE * 2 });
    const some = await get(ticket, 'bytes=0-9');
    expect(some.status).to.equal(206);
    expect(some.header('content-range')).to.equal(`bytes 0-9/${SIZE * 2}`);
    const all = await get(ticket, 'bytes=10-');
    expect(all.status).to.equal(206);
    expect(all.header('content-range')).to.equal(`bytes 10-${SIZE - 1}/${SIZE * 2}`);
    expect(all.body.equals(content.subarray(10))).to.equal(true);
  });

  it('ends an open range of a larger image at the end of the ticket', async () => {
    const answer = await get(await image({ size: 100 }), 'bytes=90-');
    expect(answer.header('content-range')).to.equal('bytes 90-99/100');
    expect(answer.body.equals(content.subarray(90, 100))).to.equal(true);
  });

  for (const range of [
    `bytes=0-${SIZE}`,
    `bytes=${SIZE}-`,
    `bytes=${SIZE}-${SIZE}`,
    `bytes=${SIZE + 5}-`,
    'bytes=0-9999999999999999999999',
  ]) {
    it(`answers 416 to ${range} of ${SIZE} bytes`, async () => {
      const answer = await get(await image(), range);
      expectError(answer, 416);
      expect(answer.header('content-range')).to.equal(`bytes */${SIZE}`);
    });
  }

  it('answers 416 to a range past the image but not past the ticket', async () => {
    const ticket = await image({ size: SIZE * 2 });
    for (const range of [`bytes=0-${SIZE}`, `bytes=0-${SIZE * 2 - 1}`, `bytes=${SIZE}-${SIZE + 10}`]) {
      const answer = await get(ticket, range);
      expectError(answer, 416);
      expect(answer.header('content-range')).to.equal(`bytes */${SIZE}`);
    }
    expectError(await get(ticket, `bytes=${SIZE}-`), 416);
    const past = await get(ticket, `bytes=0-${SIZE * 2}`);
    expectError(past, 416);
    expect(past.header('content-range')).to.equal(`bytes */${SIZE * 2}`);
  });

  for (const range of [
    'bytes=-10',
    'bytes=0-1,3-4',
    'bytes=0-1, 3-4',
    'bytes=',
    'bytes=-',
    'bytes',
    'bytes=a-b',
    'bytes=1-b',
    'bytes=5-4',
    'bytes=1.5-4',
    'bytes=--4',
    'bytes 0-4',
    '0-4',
    'items=0-4',
    '=0-4',
    '',
  ]) {
    it(`answers 416 to the range "${range}"`, async () => {
      expectError(await get(await image(), range), 416);
    });
  }

  describe('Content-Disposition', () => {
    const disposition = async (fields: object, range?: string) =>
      (await get(await image(fields), range)).header('content-disposition');

    it('is an attachment', async () => {
      expect(await disposition({})).to.equal('attachment');
    });

    it('names the file when the ticket does, as UTF-8', async () => {
      expect(await disposition({ filename: 'disk.qcow2' })).to.equal('attachment; filename=disk.qcow2');
      expect(await disposition({ filename: 'disk.qcow2' }, 'bytes=0-0')).to.equal('attachment; filename=disk.qcow2');
      for (const filename of ['Überraschung.img', 'דיסק', '磁盘.raw', '💾']) {
        const sent = Buffer.from(String(await disposition({ filename })), 'latin1').toString('utf8');
        expect(sent).to.equal(`attachment; filename=${filename}`);
      }
    });

    it('never lets controls through', async () => {
      for (const filename of ['a\r\nX-Evil: 1', 'a\nX-Evil: 1\r\n\r\nbody', 'a\0b', 'a\u007fb\u001b[31m', '\r\n\r\n']) {
        const answer = await get(await image({ filename }));
        expect(answer.status).to.equal(200);
        expect(answer.header('x-evil')).to.equal(undefined);
        const value = answer.header('content-disposition') ?? '';
        expect(value).to.match(/^attachment(; filename=.*)?$/);
        expect([...Buffer.from(value, 'latin1')].filter((byte) => byte < 0x20 || byte === 0x7f)).to.deep.equal([]);
        expect(answer.body.equals(content)).to.equal(true);
      }
    });
  });
});
