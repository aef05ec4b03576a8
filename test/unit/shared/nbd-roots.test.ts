/** Which NBD servers may be talked to. */
import { once } from 'node:events';
import { mkdir, symlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { expect } from 'chai';
import { confineNbd } from '../../../shared/nbd-roots.js';
import { parseNbdUri } from '../../../shared/nbd-uri.js';
import { failure } from '../../helpers/failure.js';
import { type TempDir, tempDir } from '../../helpers/temp.js';

/** What FERRY_NBD_HOSTS says, a server, and whether it may be talked to. */
const HOSTS: readonly (readonly [string, string, boolean])[] = [
  ['storage-1', 'nbd://Storage-1:9000/x', true],
  ['storage-1', 'nbd://storage-10/x', false],
  ['storage-1:9000', 'nbd://storage-1:9000/x', true],
  ['storage-1:9000', 'nbd://storage-1:9001/x', false],
  ['::1', 'nbd://[::1]:9000/x', true],
  ['[::1]', 'nbd://[::1]:9000/x', true],
  ['[::1]:9000', 'nbd://[::1]:9000/x', true],
  ['[::1]:9000', 'nbd://[::1]/x', false],
  // As an address of its own it is another one than ::1 and a port.
  ['::1:9000', 'nbd://[::1]:9000/x', false],
  ['*', 'nbd://192.0.2.1:10809/x', true],
];

describe('NBD servers that may be talked to', () => {
  for (const [known, uri, allowed] of HOSTS) {
    it(`where ${known} may, ${uri} ${allowed ? 'may' : 'may not'}`, async () => {
      const confining = () => confineNbd(parseNbdUri(uri, 'uri'), 'uri', { roots: [], nbdHosts: [known] });
      if (allowed) expect(await confining()).to.equal(uri.toLowerCase());
      else expect((await failure(confining)).code).to.equal('PATH_FORBIDDEN');
    });
  }

  describe('by a socket', () => {
    let dir: TempDir;
    const server = createServer();

    before(async () => {
      dir = await tempDir();
      await mkdir(dir.join('root'));
      await mkdir(dir.join('elsewhere'));
      server.listen(dir.join('root/nbd.sock'));
      await once(server, 'listening');
      await symlink('nbd.sock', dir.join('root/link.sock'));
      await symlink('../elsewhere', dir.join('root/out'));
    });

    after(async () => {
      server.close();
      await dir?.release();
    });

    const confine = (socket: string) =>
      confineNbd({ transport: 'unix', socket, exportName: 'a' }, 'uri', { roots: [dir.join('root')], nbdHosts: ['*'] });

    it('have one name, however the socket was reached', async () => {
      const expected = `nbd+unix:///a?socket=${encodeURIComponent(dir.join('root/nbd.sock'))}`;
      for (const name of ['nbd.sock', 'link.sock', 'out/../root/nbd.sock']) {
        expect(await confine(`${dir.path}/root/${name}`), name).to.equal(expected);
      }
    });

    it('are not told apart from what is missing, outside the roots', async () => {
      for (const name of [
        'root/out/missing.sock',
        'root/../elsewhere/missing.sock',
        'elsewhere/missing.sock',
        'elsewhere',
      ]) {
        expect((await failure(() => confine(`${dir.path}/${name}`))).code, name).to.equal('PATH_FORBIDDEN');
      }
      expect((await failure(() => confine(dir.join('root/missing.sock')))).code).to.equal('PATH_NOT_FOUND');
      expect((await failure(() => confine(dir.join('root')))).code).to.equal('PATH_NOT_SUPPORTED');
    });
  });
});
