/** bindAbstract and connectAbstract: names in Linux's abstract name space, to the byte. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import { expect } from 'chai';
import { loadNative } from '../../../workers/native/index.js';
import { expectErrno } from './expect-error.js';

const native = loadNative();

describe('native sockets', () => {
  const name = `ferry-test-socket-${process.pid}`;

  it('a server on an abstract name is found by exactly that name', async () => {
    const server = createServer((socket) => socket.end('hello'));
    server.listen({ fd: native.bindAbstract(Buffer.from(name)) });
    await once(server, 'listening');
    try {
      const names = readFileSync('/proc/net/unix', 'latin1').split('\n');
      expect(names.some((line) => line.endsWith(` @${name}`))).to.equal(true);
      const client = new Socket({ fd: native.connectAbstract(Buffer.from(name)), readable: true, writable: true });
      expect(String((await once(client, 'data'))[0])).to.equal('hello');
      client.destroy();
      expectErrno('EADDRINUSE', 'bind', () => native.bindAbstract(Buffer.from(name)));
      expectErrno('ECONNREFUSED', 'connect', () => native.connectAbstract(Buffer.from(`${name}\0`)));
    } finally {
      server.close();
    }
  });

  it('a name must fit', () => {
    for (const call of [native.bindAbstract, native.connectAbstract]) {
      expect(() => call(Buffer.alloc(0))).to.throw(RangeError, 'name');
      expect(() => call(Buffer.alloc(108, 'x'))).to.throw(RangeError, 'name');
      expect(() => call('x' as never)).to.throw(TypeError, 'name');
    }
    expectErrno('ECONNREFUSED', 'connect', () => native.connectAbstract(Buffer.alloc(107, 'x')));
  });
});
