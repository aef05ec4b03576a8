/** OPTIONS: what clients learn before they begin. */
import { expect } from 'chai';
import { DataPlane } from '../../helpers/data-plane.js';
import { RawConnection } from '../../helpers/raw-http.js';
import { expectJson } from './expectations.js';

const ALL = ['checksum', 'extents', 'flush', 'zero'];

describe('OPTIONS /images/{id}', function () {
  this.timeout(30_000);
  let plane: DataPlane;
  before(async () => {
    plane = await DataPlane.shared();
  });

  it('tells all that the server can do for *', async () => {
    const answer = await plane.request({ method: 'OPTIONS', path: '/images/*' });
    expect(answer.header('allow')).to.equal('OPTIONS,GET,PUT,PATCH');
    const { features, unix_socket, ...rest } = expectJson(answer) as Record<string, unknown>;
    expect([...(features as string[])].sort()).to.deep.equal(ALL);
    expect(unix_socket).to.be.a('string');
    expect(rest).to.deep.equal({});
  });

  for (const [op, allow, features] of [
    ['read', 'OPTIONS,GET', ['checksum', 'extents']],
    ['write', 'OPTIONS,GET,PUT,PATCH', ALL],
  ] as const) {
    it(`tells what a ticket for ${op} allows`, async () => {
      const { url } = await plane.image(Buffer.alloc(512), { ops: [op] });
      const answer = await plane.request({ method: 'OPTIONS', path: url });
      expect(answer.header('allow')).to.equal(allow);
      const options = expectJson(answer) as Record<string, unknown>;
      expect(options).to.have.all.keys('features', 'unix_socket', 'max_readers', 'max_writers');
      expect([...(options.features as string[])].sort()).to.deep.equal(features);
      expect(options).to.include({ max_readers: 8, max_writers: 8 });
    });
  }

  it('tells a socket on which the same image is served', async () => {
    const { url } = await plane.image(Buffer.from('hello'));
    const answer = await plane.request({ method: 'OPTIONS', path: url });
    const { unix_socket: path } = expectJson(answer) as { unix_socket: string };
    await using connection = await RawConnection.open({ path });
    expect((await connection.request({ path: url })).text()).to.equal('hello');
  });
});
