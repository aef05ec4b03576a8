/** What people type on a command line. */
import { expect } from 'chai';
import { InvalidArgumentError } from 'commander';
import {
  parseBandwidth,
  parseBandwidthOrNone,
  parseInteger,
  parseLabel,
  parseRange,
  parseServerUrl,
  parseSize,
} from '../../../services/cli/parse.js';
import { GiB, KiB, MiB } from '../../../shared/units.js';

describe('values on the command line', () => {
  const sizes: [string, number][] = [
    ['0', 0],
    ['4096', 4096],
    ['512B', 512],
    ['4K', 4 * KiB],
    ['4KiB', 4 * KiB],
    ['4kB', 4000],
    ['512MiB', 512 * MiB],
    ['10GiB', 10 * GiB],
    ['10 GiB', 10 * GiB],
    ['10G', 10 * GiB],
    ['10GB', 10e9],
    ['1.5GiB', 1.5 * GiB],
    ['0.1TB', 1e11],
    ['1T', 1024 * GiB],
  ];
  for (const [text, size] of sizes) {
    it(`reads the size ${text} as ${size} bytes`, () => expect(parseSize(text)).to.equal(size));
  }
  for (const text of ['', '-1', 'GiB', '10 apples', '1e6', '0x10', '0.3', '1.0001K', '99999999P', '10GiBs', '1,5G']) {
    it(`refuses the size "${text}"`, () => expect(() => parseSize(text)).to.throw(InvalidArgumentError));
  }

  it('collects ranges', () => {
    const ranges = parseRange('1G:1M', parseRange('0:64K'));
    expect(ranges).to.deep.equal([
      { start: 0, length: 64 * KiB },
      { start: GiB, length: MiB },
    ]);
  });
  for (const text of ['', '1', '1:', ':1', '1:2:3', '0:0', '-1:5']) {
    it(`refuses the range "${text}"`, () => expect(() => parseRange(text)).to.throw(InvalidArgumentError));
  }

  it('collects labels, whose values may hold anything', () => {
    expect(parseLabel('b=x=y', parseLabel('a='))).to.deep.equal({ a: '', b: 'x=y' });
    for (const text of ['', 'key', '=value']) expect(() => parseLabel(text)).to.throw(InvalidArgumentError);
  });

  it('takes whole numbers within bounds only', () => {
    const parse = parseInteger(1, 10);
    expect(parse('10')).to.equal(10);
    for (const text of ['0', '11', '1.5', '', 'x', '-1', '1e1'])
      expect(() => parse(text)).to.throw(InvalidArgumentError);
  });

  it('takes a bandwidth as a size or a rate, and none only where a limit can be taken away', () => {
    expect(parseBandwidth('100MiB')).to.equal(100 * MiB);
    expect(parseBandwidth('100MiB/s')).to.equal(100 * MiB);
    expect(parseBandwidthOrNone('none')).to.equal('none');
    for (const text of ['none', '0', '63KiB', '1MiB/h', '/s', '-1'])
      expect(() => parseBandwidth(text), text).to.throw(InvalidArgumentError);
  });

  it('takes http URLs and never a password in one', () => {
    expect(parseServerUrl('http://127.0.0.1:8080/')).to.equal('http://127.0.0.1:8080');
    for (const text of ['localhost:8080', 'ftp://x', 'nothing', 'http://me:secret@x']) {
      expect(() => parseServerUrl(text)).to.throw(InvalidArgumentError);
    }
  });
});
