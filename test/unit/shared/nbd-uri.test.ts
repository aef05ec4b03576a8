/** NBD addresses in every form, and what is none. */
import { expect } from 'chai';
import { formatNbdUri, parseNbdUri } from '../../../shared/nbd-uri.js';
import { failure } from '../../helpers/failure.js';

const FORMS: readonly (readonly [string, string])[] = [
  ['nbd://localhost/disk', 'nbd://localhost:10809/disk'],
  ['nbd://Host.example:9000', 'nbd://host.example:9000/'],
  ['nbd://[::1]:9000/a%20b', 'nbd://[::1]:9000/a%20b'],
  ['nbd:localhost:10809:exportname=sda', 'nbd://localhost:10809/sda'],
  ['nbd:localhost:10809', 'nbd://localhost:10809/'],
  ['nbd:unix:/run/x.sock:exportname=a:b', 'nbd+unix:///a%3Ab?socket=%2Frun%2Fx.sock'],
  ['nbd:unix:/run/x.sock', 'nbd+unix:///?socket=%2Frun%2Fx.sock'],
  ['nbd+unix:///?socket=/run/a+b.sock', 'nbd+unix:///?socket=%2Frun%2Fa%2Bb.sock'],
  ['nbd+unix:///disk?socket=/run/x.sock', 'nbd+unix:///disk?socket=%2Frun%2Fx.sock'],
];

const WRONG = [
  '',
  'http://localhost/',
  'nbds://localhost/',
  'nbd+vsock://2/',
  'nbd://',
  'nbd://user@host/',
  'nbd://host:0/',
  'nbd://host:70000/',
  'nbd://host/x?socket=/run/x',
  'nbd+unix:///x',
  'nbd+unix:///x?socket=relative',
  'nbd+unix://host/x?socket=/run/x',
  'nbd+unix:///x?socket=/run/x&tls-psk-file=/etc/shadow',
  'nbd:unix:relative',
  'nbd:host:port',
  'nbd:host:10809:name=x',
  'nbd://host/%zz',
  'nbd:unix:/run/x\0y',
  // libnbd would be given a name that ends there: another one, and perhaps that of another job's target.
  'nbd://host/disk%00other',
  'nbd+unix:///?socket=/run/x%00y',
  'nbd+unix:///?socket=/run/x&socket=/run/y',
  'nbd://host/\ud800',
  `nbd://host/${'x'.repeat(4097)}`,
];

describe('NBD addresses', () => {
  for (const [text, uri] of FORMS) {
    it(`${text} is ${uri}, which means itself`, () => {
      expect(formatNbdUri(parseNbdUri(text, 'url'))).to.equal(uri);
      expect(formatNbdUri(parseNbdUri(uri, 'url'))).to.equal(uri);
    });
  }

  it('are nothing else: other transports, TLS, parameters, ports that are none', async () => {
    for (const text of WRONG) {
      const error = await failure(() => parseNbdUri(text, 'source.uri'));
      expect(error.code, text).to.equal('BAD_REQUEST');
      expect(error.details.field).to.equal('source.uri');
    }
  });
});
