/** Storage that fails or is slow, as strace(1) makes it: no client may take for durable what may be lost. */
import { expect } from 'chai';
import { DataPlane } from '../../helpers/data-plane.js';
import { needsCommands } from '../../helpers/needs.js';
import type { RawConnection } from '../../helpers/raw-http.js';
import { injectFaults } from '../../helpers/tracer.js';
import { expectEmpty, expectError, json } from './expectations.js';

const declare = needsCommands('strace');

describe('storage that fails below the data plane', function () {
  this.timeout(30_000);
  let plane: DataPlane;
  before(async () => {
    plane = await DataPlane.shared();
  });

  const put = (connection: RawConnection, url: string, query: string) =>
    connection.request({ method: 'PUT', path: `${url}?${query}`, body: 'hello' });
  const flush = (connection: RawConnection, url: string) =>
    connection.request({ method: 'PATCH', path: url, body: json({ op: 'flush' }) });

  declare('fails the flush of each connection whose data may be lost, once', async () => {
    const { url } = await plane.image(Buffer.alloc(512));
    await using first = await plane.connect();
    await using second = await plane.connect();
    await using third = await plane.connect();
    for (const connection of [first, second, third]) expectEmpty(await put(connection, url, 'flush=n'));
    const broken = await injectFaults(plane.pid, 'fdatasync:error=EIO');
    try {
      expectError(await flush(first, url), 500);
    } finally {
      await broken.detach();
    }
    // The kernel may have told of the lost write already, and would now call the rest durable.
    expectError(await flush(second, url), 500);
    expectError(await put(third, url, 'flush=y'), 500);
    for (const connection of [first, second, third]) {
      expectEmpty(await put(connection, url, 'flush=n'));
      expectEmpty(await flush(connection, url));
    }
  });

  declare('answers 500 to an upload and to zeroing whose flush fails, and tells nothing of the machine', async () => {
    const image = await plane.image(Buffer.alloc(512));
    await using connection = await plane.connect();
    const broken = await injectFaults(plane.pid, 'fdatasync:error=EIO');
    try {
      for (const request of [
        { method: 'PUT', body: 'hello' },
        { method: 'PATCH', body: json({ op: 'zero', size: 10, flush: true }) },
      ]) {
        const answer = await connection.request({ ...request, path: image.url });
        expectError(answer, 500);
        expect(answer.text()).not.to.include(plane.storage);
      }
    } finally {
      await broken.detach();
    }
  });

  for (const error of ['EIO', 'ENOSPC']) {
    declare(`answers 500 to an upload that cannot be written (${error}), and serves on`, async () => {
      const image = await plane.image(Buffer.alloc(1024 * 1024));
      await using connection = await plane.connect();
      const broken = await injectFaults(plane.pid, `pwrite64:error=${error}`);
      try {
        const body = Buffer.alloc(1024 * 1024, 'x');
        const answer = await connection.request({ method: 'PUT', path: image.url, body });
        expectError(answer, 500);
        expect(answer.text()).not.to.include(plane.storage);
      } finally {
        await broken.detach();
      }
      expectEmpty(await plane.request({ method: 'PUT', path: image.url, body: 'hello' }));
      expect((await image.read()).toString('latin1', 0, 5)).to.equal('hello');
    });
  }

  declare('does not take a slow flush for an idle connection', async () => {
    const { url } = await plane.image(Buffer.alloc(512), { inactivity_timeout: 1 });
    await using connection = await plane.connect();
    const slow = await injectFaults(plane.pid, 'fdatasync:delay_enter=1200000');
    try {
      expectEmpty(await put(connection, url, 'flush=y'));
    } finally {
      await slow.detach();
    }
  });
});
