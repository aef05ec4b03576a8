/**
 * Does the service answer while it works? Runs 1, 4 and 16 imports at once through a whole service in this
 * process (API, queue, node, threads), and prints how late the event loop was and how long a status poll,
 * made from another thread, took. Loop devices when root, files otherwise. Leaves nothing behind.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import Table from 'cli-table3';
import { Registry } from 'prom-client';
import { startApi } from '../services/api/server.js';
import { startEmbeddedRedis } from '../services/cli/embedded-redis.js';
import { startImages } from '../services/images/server.js';
import { startTransferNode } from '../services/transfer/node.js';
import { readConfig } from '../shared/config.js';
import { createLog } from '../shared/log.js';
import { JobStore } from '../shared/queue/job-store.js';
import { PlanClient } from '../shared/queue/plans.js';
import type { JobView } from '../shared/schemas/job.js';
import { formatBytes, GiB, MiB } from '../shared/units.js';
import { Workers } from '../workers/pool.js';

const IMAGE_BYTES = GiB;
const DATA_BYTES = 192 * MiB;
const ROUNDS = [1, 4, 16];

const directory = mkdtempSync(join(process.env.FERRY_BENCH_DIR ?? tmpdir(), 'ferry-bench-'));
const loops: string[] = [];
try {
  await main();
} finally {
  for (const device of loops) execFileSync('losetup', ['--detach', device]);
  rmSync(directory, { recursive: true, force: true });
}

async function main(): Promise<void> {
  const source = makeImage(join(directory, 'source.img'));
  const targets = Array.from({ length: Math.max(...ROUNDS) }, (_, i) => makeTarget(i));
  const config = readConfig({
    FERRY_DATA_DIR: join(directory, 'data'),
    FERRY_API_PORT: '0',
    FERRY_IMAGES_PORT: 'off',
    FERRY_LOCAL_SOCKET: 'off',
    FERRY_CONTROL_SOCKET: 'off',
    FERRY_CONCURRENCY: '16',
    FERRY_STORAGE_ROOTS: [directory, ...loops].join(':'),
  });
  const log = createLog('warn');
  const redis = await startEmbeddedRedis(config.dataDir, log);
  const jobs = await JobStore.open({ redisUrl: redis.url, config, log });
  const plans = new PlanClient({ redisUrl: redis.url, log });
  const metrics = new Registry();
  const workers = new Workers({ threads: config.threads, bufferBytes: config.bufferBytes });
  const plane = await startImages({ config, log, workers, version: 'bench' });
  const node = await startTransferNode({
    config,
    log,
    redisUrl: redis.url,
    jobs,
    workers,
    plane,
    version: 'bench',
    metrics,
  });
  const api = await startApi({ config, log, jobs, plans, version: 'bench', metrics });
  const table = new Table({
    // No colours in a file or a pipe.
    style: process.stdout.isTTY ? {} : { head: [], border: [] },
    head: ['imports at once', 'time', 'rate', 'loop delay p50', 'p99', 'max', 'poll p50', 'p99', 'max', 'memory'],
  });
  try {
    await runImports(api.url, source, targets.slice(0, 1)); // Warm-up: code is compiled, caches are filled.
    for (const count of ROUNDS) table.push(await measure(api.url, source, targets.slice(0, count)));
  } finally {
    await api.close();
    await node.close();
    await plane.close();
    await workers.close();
    await plans.close();
    await jobs.close();
    await redis.stop();
  }
  console.log(
    `${formatBytes(IMAGE_BYTES)} images with ${formatBytes(DATA_BYTES)} of data, onto ${loops.length > 0 ? 'loop devices' : 'files'}`,
  );
  console.log(table.toString());
}

async function measure(url: string, source: string, targets: readonly object[]): Promise<string[]> {
  const poller = new Worker(new URL('./poller.js', import.meta.url), {
    workerData: { url: `${url}/v1/jobs?limit=20` },
  });
  await new Promise((resolve) => poller.once('message', resolve));
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const before = performance.now();
  await runImports(url, source, targets);
  const seconds = (performance.now() - before) / 1000;
  delay.disable();
  const polls = new Promise<{ p50: number; p99: number; max: number }>((resolve) => poller.once('message', resolve));
  poller.postMessage('stop');
  const { p50, p99, max } = await polls;
  const ms = (n: number) => `${n.toFixed(1)} ms`;
  // The histogram counts from one timer tick to the next: its resolution of 1 ms is not delay.
  const late = (n: number) => ms(Math.max(0, n / 1e6 - 1));
  return [
    String(targets.length),
    `${seconds.toFixed(2)} s`,
    `${formatBytes((targets.length * IMAGE_BYTES) / seconds)}/s`,
    late(delay.percentile(50)),
    late(delay.percentile(99)),
    late(delay.max),
    ms(p50),
    ms(p99),
    ms(max),
    formatBytes(process.memoryUsage().rss),
  ];
}

async function runImports(url: string, path: string, targets: readonly object[]): Promise<void> {
  await Promise.all(
    targets.map(async (target) => {
      const body = JSON.stringify({ kind: 'upload', source: { type: 'file', path }, target });
      const headers = { 'content-type': 'application/json' };
      const accepted = await fetch(`${url}/v1/jobs`, { method: 'POST', headers, body });
      const { links } = (await accepted.json()) as JobView;
      for (;;) {
        const job = (await (await fetch(`${url}${links.self}?wait=30`)).json()) as JobView;
        if (job.state === 'completed') return;
        if (job.state === 'failed' || job.state === 'canceled')
          throw new Error(`${job.error?.code}: ${job.error?.message}`);
      }
    }),
  );
}

function makeImage(path: string): string {
  const fd = openSync(path, 'w');
  const block = randomBytes(MiB);
  ftruncateSync(fd, IMAGE_BYTES);
  const blocks = DATA_BYTES / MiB;
  for (let i = 0; i < blocks; i += 1) writeSync(fd, block, 0, MiB, i * (IMAGE_BYTES / blocks));
  closeSync(fd);
  return path;
}

function makeTarget(index: number): object {
  const path = join(directory, `target-${index}.img`);
  writeFileSync(path, '');
  truncateSync(path, IMAGE_BYTES);
  if (process.getuid?.() !== 0) return { type: 'file', path };
  const device = execFileSync('losetup', ['--find', '--show', path], { encoding: 'utf8' }).trim();
  loops.push(device);
  return { type: 'block', path: device };
}
