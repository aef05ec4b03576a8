/**
 * How quick is a large batch to submit, and to look at while it runs? Submits 1,000 small disks to a whole
 * `ferry serve`, then polls `GET /v1/batches/{id}` 100 times while they run, and prints p50 and p99 of the answers.
 * Everything lies in a temporary directory (FERRY_BENCH_DIR) and is removed.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import Table from 'cli-table3';
import { Cleanup } from '../scripts/demo/cleanup.js';
import { startFerry } from '../scripts/demo/ferry.js';
import type { BatchRequestInput, BatchView } from '../shared/schemas/batch.js';
import { formatBytes, MiB } from '../shared/units.js';

const VMS = 250;
const DISKS_PER_VM = 4;
const POLLS = 100;
const POLL_PAUSE_MS = 50;
const IMAGE_BYTES = 64 * MiB;
const DATA_BYTES = MiB;

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
  const { signal } = interrupted;
  const source = makeImage(join(directory, 'source.img'));
  await mkdir(join(directory, 'out'));
  const flags = ['--port', '0', '--data-dir', join(directory, 'data'), '--storage-roots', directory];
  const { ready } = await startFerry(['serve', ...flags, '--concurrency', '10'], cleanup, signal);
  if (ready.api === undefined) throw new Error('ferry serve did not tell where it is');
  const { url } = ready.api;

  const submitted = performance.now();
  const answer = await fetch(`${url}/v1/batches`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request(source)),
    signal,
  });
  if (answer.status !== 202) throw new Error(`the batch was refused: ${await answer.text()}`);
  const acceptedMs = performance.now() - submitted;
  const { links } = (await answer.json()) as BatchView;

  const times: number[] = [];
  const bytes: number[] = [];
  let active = 0;
  let batch = await poll();
  while (times.length < POLLS && batch.endedAt === null) {
    await sleep(POLL_PAUSE_MS, undefined, { signal });
    batch = await poll();
  }
  const polls = times.length;
  while (batch.endedAt === null) {
    await sleep(1000, undefined, { signal });
    batch = await poll();
  }
  const seconds = (performance.now() - submitted) / 1000;
  if (batch.state !== 'completed') throw new Error(`the batch ended as ${batch.state}`);

  async function poll(): Promise<BatchView> {
    const before = performance.now();
    const text = await (await fetch(`${url}${links.self}`, { signal })).text();
    times.push(performance.now() - before);
    bytes.push(text.length);
    const view = JSON.parse(text) as BatchView;
    active = Math.max(active, view.counts.active);
    return view;
  }

  const polled = times.slice(0, polls).sort((a, b) => a - b);
  const at = (share: number) => polled[Math.min(polled.length - 1, Math.floor(polled.length * share))] ?? 0;
  const ms = (n: number) => `${n.toFixed(1)} ms`;
  const table = new Table({ style: process.stdout.isTTY ? {} : { head: [], border: [] } });
  table.push(
    { disks: `${VMS * DISKS_PER_VM} of ${VMS} VMs, at most 10 at once (${active} seen)` },
    { 'accepted after': ms(acceptedMs) },
    { 'all completed after': `${seconds.toFixed(1)} s` },
    { 'polls while they ran': `${polls}, an answer of ${formatBytes(Math.max(...bytes))}` },
    { 'poll p50': ms(at(0.5)) },
    { 'poll p99': ms(at(0.99)) },
    { 'poll max': ms(at(1)) },
  );
  console.log(table.toString());
}

function request(path: string): BatchRequestInput {
  return {
    name: 'bench',
    maxConcurrentDisks: 10,
    vms: Array.from({ length: VMS }, (_, vm) => ({
      name: `vm-${vm}`,
      disks: Array.from({ length: DISKS_PER_VM }, (_, disk) => ({
        source: { type: 'file' as const, path },
        target: { type: 'file' as const, path: join(directory, 'out', `${vm}-${disk}.img`) },
        options: { allocation: 'sparse' as const },
      })),
    })),
  };
}

function makeImage(path: string): string {
  const fd = openSync(path, 'w');
  ftruncateSync(fd, IMAGE_BYTES);
  writeSync(fd, randomBytes(DATA_BYTES), 0, DATA_BYTES, IMAGE_BYTES / 2);
  closeSync(fd);
  return path;
}
