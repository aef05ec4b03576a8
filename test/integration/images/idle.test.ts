/** Which connections are closed for doing nothing, and which are not though they are slow. */
import { expect } from 'chai';
import { patternBytes } from '../../helpers/bytes.js';
import { DataPlane } from '../../helpers/data-plane.js';
import { requestBytes } from '../../helpers/raw-http.js';
import { until } from '../cli/programs.js';
import { expectEmpty } from './expectations.js';

const MiB = 1024 * 1024;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('idle connections', function () {
  this.timeout(30_000);
  let plane: DataPlane;
  const running = new Map<string, Promise<void>>();
  const scenarios: [string, () => Promise<void>][] = [];
  /** All of them wait for seconds, and none for another: they run side by side. */
  function scenario(sentence: string, run: () => Promise<void>): void {
    scenarios.push([sentence, run]);
    it(sentence, async () => await running.get(sentence));
  }
  before(async () => {
    plane = await DataPlane.shared();
    for (const [sentence, run] of scenarios) {
      const outcome = run();
      // It is reported where it is awaited.
      outcome.catch(() => {});
      running.set(sentence, outcome);
    }
  });

  /** Slower than the time-out of a ticket altogether, but never silent for so long. */
  const STEPS = 8;
  const STEP_MS = 300;
  const hasty = { inactivity_timeout: 1 };

  scenario('are closed after the inactivity_timeout of the ticket that was used, and others are not', async () => {
    const [first, second] = [await plane.image(Buffer.alloc(512), hasty), await plane.image(Buffer.alloc(512))];
    await using idle = await plane.connect();
    await using patient = await plane.connect();
    await using local = await plane.connect('local');
    await using unused = await plane.connect();
    await idle.request({ method: 'OPTIONS', path: first.url });
    await local.request({ path: first.url });
    await patient.request({ path: second.url });
    expect((await idle.closed()).length).to.equal(0);
    expect((await local.closed()).length).to.equal(0);
    expect(patient.isClosed).to.equal(false);
    expect(unused.isClosed).to.equal(false);
    await until('the ticket has no connections', async () => (await plane.ticketInfo(first.id)).connections === 0);
  });

  scenario('are not those that are used again in time', async () => {
    const { url } = await plane.image(Buffer.alloc(512), hasty);
    await using connection = await plane.connect();
    for (let i = 0; i < STEPS; i++) {
      expect((await connection.request({ path: url })).status).to.equal(200);
      await pause(STEP_MS);
    }
  });

  scenario('are not uploads that take long', async () => {
    const image = await plane.image(Buffer.alloc(0), { size: MiB, ...hasty });
    const data = patternBytes(1, MiB);
    await using connection = await plane.connect();
    const headers = { 'Content-Length': String(MiB) };
    await connection.write(requestBytes({ method: 'PUT', path: image.url, headers }));
    for (let i = 0; i < STEPS; i++) {
      await connection.write(data.subarray((i * MiB) / STEPS, ((i + 1) * MiB) / STEPS));
      await pause(STEP_MS);
    }
    expectEmpty(await connection.response());
    expect((await image.read()).equals(data)).to.equal(true);
  });

  scenario('are not downloads that take long', async () => {
    const data = patternBytes(1, 32 * MiB);
    const image = await plane.image(data, { ops: ['read'], ...hasty });
    await using connection = await plane.connect('local');
    await connection.write(requestBytes({ path: image.url }));
    await connection.head();
    const part = data.length / STEPS;
    for (let i = 0; i < STEPS; i++) {
      connection.resume();
      expect((await connection.take(part)).equals(data.subarray(i * part, (i + 1) * part))).to.equal(true);
      connection.pause();
      await pause(STEP_MS);
    }
  });

  scenario('are uploads whose client has fallen silent; what came before is written', async () => {
    const image = await plane.image(Buffer.alloc(0), { size: MiB, ...hasty });
    const data = patternBytes(1, 1000);
    await using connection = await plane.connect();
    const headers = { 'Content-Length': String(MiB) };
    await connection.write(requestBytes({ method: 'PUT', path: image.url, headers }));
    await connection.write(data);
    await connection.closed();
    await until('the operation has ended', async () => (await plane.ticketInfo(image.id)).active === false);
    expect((await image.read()).subarray(0, 1000).equals(data)).to.equal(true);
  });

  scenario('are downloads whose client has stopped reading', async () => {
    const image = await plane.image(patternBytes(1, 48 * MiB), { ops: ['read'], ...hasty });
    await using connection = await plane.connect('local');
    connection.pause();
    await connection.write(requestBytes({ path: image.url }));
    await until('the download begins', async () => (await plane.ticketInfo(image.id)).active === true);
    await until('the operation has ended', async () => {
      const info = await plane.ticketInfo(image.id);
      return info.active === false && info.connections === 0;
    });
    connection.resume();
    expect((await connection.closed()).length).to.be.below(48 * MiB);
  });
});
