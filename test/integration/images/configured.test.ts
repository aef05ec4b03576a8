/**
 * What depends on the configuration: above all removing tickets that are in use, whose operations stop while the answer
 * waits for them within a limit. One service waits for a second, the other not at all.
 */
import { expect } from 'chai';
import { patternBytes } from '../../helpers/bytes.js';
import { DataPlane, type TestImage } from '../../helpers/data-plane.js';
import { needsCommands } from '../../helpers/needs.js';
import { threadsIn } from '../../helpers/processes.js';
import { type RawConnection, requestBytes } from '../../helpers/raw-http.js';
import { injectFaults } from '../../helpers/tracer.js';
import { until } from '../cli/programs.js';
import { expectEmpty, expectError, expectForbidden, expectJson } from './expectations.js';

const MiB = 1024 * 1024;
const SIZE = 64 * MiB;

describe('a data plane as configured', function () {
  this.timeout(30_000);
  let patient: DataPlane;
  let hasty: DataPlane;
  before(async () => {
    const few = { FERRY_MAX_CONNECTIONS: '3', FERRY_INACTIVITY_TIMEOUT: '33', FERRY_LOCAL_SOCKET: 'off' };
    [patient, hasty] = await Promise.all([
      DataPlane.start({ env: { FERRY_REMOVE_TIMEOUT: '1' } }),
      DataPlane.start({ env: { FERRY_REMOVE_TIMEOUT: '0', ...few } }),
    ]);
  });
  after(async () => {
    await patient?.[Symbol.asyncDispose]();
    await hasty?.[Symbol.asyncDispose]();
  });

  const remove = (plane: DataPlane, id: string) => plane.control('DELETE', `/tickets/${id}`);

  /** An upload that has begun, and whose client pauses. */
  async function stalledUpload(plane: DataPlane): Promise<{ image: TestImage; connection: RawConnection }> {
    const image = await plane.image(Buffer.alloc(0), { size: SIZE });
    const connection = await plane.connect();
    const headers = { 'Content-Length': String(SIZE) };
    await connection.write(requestBytes({ method: 'PUT', path: `${image.url}?flush=n`, headers }));
    await connection.write(Buffer.alloc(10_000, 'x'));
    await until('the upload runs', async () => (await plane.ticketInfo(image.id)).active === true);
    return { image, connection };
  }

  it('removes a ticket, and says the same when there is none', async () => {
    const { id, url } = await patient.image(Buffer.alloc(512));
    for (let i = 0; i < 2; i++) {
      const answer = await remove(patient, id);
      expect(answer.status).to.equal(204);
      expect(answer.header('content-length')).to.equal('0');
    }
    expectError(await patient.control('GET', `/tickets/${id}`), 404);
    await using connection = await patient.connect();
    await expectForbidden(connection, await connection.request({ path: url }));
  });

  it('without an id removes all', async () => {
    const images = await Promise.all([1, 2, 3].map(() => hasty.image(Buffer.alloc(512))));
    expectEmpty(await remove(hasty, ''), 204);
    for (const { id } of images) expectError(await hasty.control('GET', `/tickets/${id}`), 404);
  });

  it('removes a ticket that connections have used but do not use now', async () => {
    const { id, url } = await patient.image(Buffer.alloc(512));
    await using connection = await patient.connect();
    expect((await connection.request({ path: url })).status).to.equal(200);
    expectEmpty(await remove(patient, id), 204);
    await expectForbidden(connection, await connection.request({ path: url }));
  });

  it('stops a running upload at its next buffer with 403, and waits for that', async () => {
    const { image, connection } = await stalledUpload(patient);
    await using _ = connection;
    const removed = remove(patient, image.id);
    await until('the ticket is canceled', async () => {
      const answer = await patient.control('GET', `/tickets/${image.id}`);
      return answer.status === 404 || (answer.json() as { canceled: boolean }).canceled;
    });
    const sent = connection.write(Buffer.alloc(40 * MiB, 'y'));
    expectError(await connection.response(), 403);
    await connection.closed();
    await sent;
    expectEmpty(await removed, 204);
    expectError(await patient.control('GET', `/tickets/${image.id}`), 404);
  });

  needsCommands('strace')(
    'answers 409 while an operation hangs; the ticket stays canceled until it can be removed',
    async () => {
      const image = await patient.image(Buffer.alloc(512));
      const slow = await injectFaults(patient.pid, 'pwrite64:delay_enter=2000000');
      try {
        await using connection = await patient.connect();
        await connection.write(requestBytes({ method: 'PUT', path: image.url, body: 'x'.repeat(512) }));
        await until('the write hangs', () => threadsIn(patient.pid, 'pwrite64') > 0);
        expectError(await remove(patient, image.id), 409);
        expect(await patient.ticketInfo(image.id)).to.include({ canceled: true });
        await using other = await patient.connect();
        await expectForbidden(other, await other.request({ path: image.url }));
        expectError(await connection.response(), 403);
        expectEmpty(await remove(patient, image.id), 204);
        expectError(await patient.control('GET', `/tickets/${image.id}`), 404);
      } finally {
        await slow.detach();
      }
    },
  );

  it('stops a running download: its client does not get all', async () => {
    const image = await patient.image(patternBytes(1, SIZE), { ops: ['read'] });
    await using connection = await patient.connect();
    connection.pause();
    await connection.write(requestBytes({ path: image.url }));
    await until('the download runs', async () => (await patient.ticketInfo(image.id)).active === true);
    const removed = remove(patient, image.id);
    await until('the ticket is canceled', async () => {
      const answer = await patient.control('GET', `/tickets/${image.id}`);
      return answer.status === 404 || (answer.json() as { canceled: boolean }).canceled;
    });
    connection.resume();
    expect((await connection.closed()).length).to.be.below(SIZE);
    expectEmpty(await removed, 204);
  });

  it('does not wait at all when it must not', async () => {
    const { image, connection } = await stalledUpload(hasty);
    await using _ = connection;
    expectEmpty(await remove(hasty, image.id), 204);
    const sent = connection.write(Buffer.alloc(40 * MiB, 'y'));
    expectError(await connection.response(), 403);
    await sent;
    expectError(await hasty.request({ path: image.url }), 403);
  });

  it('tells how many connections a ticket may have, no socket where none is, and how long a connection may idle', async () => {
    const { id, url } = await hasty.image(Buffer.alloc(512));
    const options = expectJson(await hasty.request({ method: 'OPTIONS', path: url }));
    expect(options).to.have.all.keys('features', 'max_readers', 'max_writers');
    expect(options).to.include({ max_readers: 3, max_writers: 3 });
    expect(hasty.service.ready).not.to.have.property('local');
    expect(await hasty.ticketInfo(id)).to.include({ inactivity_timeout: 33 });
  });

  it('ends when it is asked to, whatever its clients are doing', async () => {
    const { image, connection } = await stalledUpload(patient);
    await using _ = connection;
    const read = await patient.image(patternBytes(1, SIZE), { ops: ['read'] });
    await using downloading = await patient.connect();
    downloading.pause();
    await downloading.write(requestBytes({ path: read.url }));
    await using idle = await patient.connect();
    for (const { id } of [image, read]) {
      await until('the transfer runs', async () => (await patient.ticketInfo(id)).active === true);
    }
    expect(await patient.service.end('SIGTERM')).to.equal(0);
    await idle.closed();
  });
});
