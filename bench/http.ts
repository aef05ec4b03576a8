/**
 * How fast is the data plane? Bodies of 1 GiB over one and eight connections, plain, with TLS and over a unix socket;
 * 4 KiB writes and zeroes one after another. Beside it, in the same run and in turn: a Node server that only throws
 * bodies away, nginx with WebDAV, and nbdcopy into nbdkit. Prints medians and their ratio to the discarding server.
 * Files lie in a temporary directory (FERRY_BENCH_DIR), about 4 GiB, and are removed. Argument: --quick.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import Table from 'cli-table3';
import { Cleanup } from '../scripts/demo/cleanup.js';
import { formatBytes, GiB, MiB } from '../shared/units.js';
import type { Done, Order } from './http/load.js';
import {
  makeCertificate,
  type Place,
  type Server,
  startDiscard,
  startImageferry,
  startNginx,
  type Transport,
} from './http/servers.js';

const quick = process.argv.includes('--quick');
const ROUNDS = quick ? 3 : 5;
const BODY = quick ? 256 * MiB : GiB;
const REQUESTS = quick ? 2000 : 8000;
const TRANSPORTS: readonly Transport[] = ['plain', 'unix', 'tls'];

const directory = mkdtempSync(join(process.env.FERRY_BENCH_DIR ?? tmpdir(), 'ferry-bench-'));
const cleanup = new Cleanup();
const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort());
try {
  await main();
} finally {
  for (const left of await cleanup.run()) console.error(left);
  rmSync(directory, { recursive: true, force: true });
}

async function main(): Promise<void> {
  const place: Place = { directory, cleanup, signal: interrupted.signal, certificate: makeCertificate(directory) };
  const storage = join(directory, 'storage');
  mkdirSync(storage);
  const image = makeTarget(join(storage, 'image.img'), BODY);
  const servers = [
    await startImageferry(place, storage, image, BODY),
    await startDiscard(place),
    ...(existsSync('/usr/sbin/nginx') ? [await startNginx(place, storage, await freePorts())] : []),
  ];
  const worker = new Worker(new URL('./http/load.js', import.meta.url));
  try {
    await throughput(servers, worker, image);
    await smallRequests(servers, worker);
  } finally {
    await worker.terminate();
  }
}

async function throughput(servers: readonly Server[], worker: Worker, image: string): Promise<void> {
  const table = newTable([
    `PUT of ${formatBytes(BODY)}`,
    ...servers.map(({ name }) => name),
    'imageferry / discarding',
  ]);
  for (const transport of TRANSPORTS) {
    for (const connections of [1, 8]) {
      const rates = await inTurn(servers, async ({ addresses, path, ranges }) => {
        const order: Order = { work: 'put', to: addresses[transport], path, ranges, bytes: BODY, connections };
        return BODY / ((await run(worker, order)).ms / 1000);
      });
      const shown = rates.map((rate) => `${formatBytes(Math.round(rate))}/s`);
      table.push([`${transport}, ${connections} connection${connections > 1 ? 's' : ''}`, ...shown, ratio(rates)]);
    }
  }
  console.log(table.toString());
  if (!existsSync('/usr/bin/nbdcopy')) return;
  const copies = Array.from({ length: ROUNDS }, () => nbdcopy(image)).sort((a, b) => a - b);
  console.log(
    `nbdcopy of ${formatBytes(BODY)} from memory into nbdkit on a file: ${formatBytes(Math.round(middle(copies)))}/s`,
  );
}

async function smallRequests(servers: readonly Server[], worker: Worker): Promise<void> {
  const table = newTable(['4 KiB, one connection', 'server', 'requests/s', 'p50', 'p99']);
  for (const transport of TRANSPORTS) {
    for (const request of ['put', 'zero'] as const) {
      const able = servers.filter(({ ranges }) => request === 'put' || ranges);
      const each = new Map<Server, number[]>(able.map((server) => [server, []]));
      const rates = await inTurn(able, async (server) => {
        const { addresses, path, ranges } = server;
        const done = await run(worker, {
          work: 'requests',
          to: addresses[transport],
          path,
          ranges,
          request,
          count: REQUESTS,
        });
        each.get(server)?.push(...done.each);
        return REQUESTS / (done.ms / 1000);
      });
      able.forEach((server, at) => {
        const times = (each.get(server) as number[]).sort((a, b) => a - b);
        const at99 = times[Math.floor(times.length * 0.99)] as number;
        table.push([
          `${transport}, ${request}`,
          server.name,
          Math.round(rates[at] as number),
          ms(middle(times)),
          ms(at99),
        ]);
      });
    }
  }
  console.log(table.toString());
}

/**
 * Every server once, then all again: what the machine does meanwhile meets all of them. A round before the first does not
 * count: code is compiled, files have their space.
 * @returns medians
 */
async function inTurn(servers: readonly Server[], measure: (server: Server) => Promise<number>): Promise<number[]> {
  const results = servers.map(() => [] as number[]);
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [at, server] of servers.entries()) {
      // What one server left in the page cache must not be written while the next one is measured.
      execFileSync('sync', ['--file-system', directory]);
      const result = await measure(server);
      if (round > 0) (results[at] as number[]).push(result);
    }
  }
  return results.map((values) => middle(values.sort((a, b) => a - b)));
}

async function run(worker: Worker, order: Order): Promise<Done> {
  interrupted.signal.throwIfAborted();
  const answer = new Promise<{ done?: Done; error?: string }>((resolve) => worker.once('message', resolve));
  worker.postMessage(order);
  const { done, error } = await answer;
  if (done === undefined) throw new Error(error);
  return done;
}

/** All of it written once, so that no server pays for finding space. */
function makeTarget(path: string, bytes: number): string {
  const fd = openSync(path, 'wx');
  const chunk = Buffer.alloc(MiB, 1);
  for (let at = 0; at < bytes; at += MiB) writeSync(fd, chunk);
  ftruncateSync(fd, bytes);
  closeSync(fd);
  return path;
}

/** @returns bytes per second */
function nbdcopy(image: string): number {
  const before = performance.now();
  const pattern = `[ nbdkit -r --exit-with-parent pattern ${BODY} ]`;
  const command = `nbdcopy -- ${pattern.replace('[ ', '[ ')} [ nbdkit --exit-with-parent file ${image} ]`;
  execFileSync('sh', ['-c', command], { stdio: 'ignore' });
  return BODY / ((performance.now() - before) / 1000);
}

async function freePorts(): Promise<{ plain: number; tls: number }> {
  const one = async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    return port;
  };
  return { plain: await one(), tls: await one() };
}

function newTable(head: string[]): Table.Table {
  return new Table({ style: process.stdout.isTTY ? {} : { head: [], border: [] }, head });
}

function middle(sorted: readonly number[]): number {
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}

function ratio([ours = 0, discarding = 0]: readonly number[]): string {
  return (ours / discarding).toFixed(2);
}

function ms(value: number): string {
  return `${value.toFixed(3)} ms`;
}
