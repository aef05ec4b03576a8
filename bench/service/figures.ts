/**
 * What the service itself costs, measured from outside on real processes: jobs accepted a second, answers to polls, delay of
 * the event loop, memory, and how soon a job writes. `ferry api` alone (with Redis, without a node) is the idle one.
 */
import { readFileSync } from 'node:fs';
import { rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { startCluster } from '../../scripts/demo/cluster.js';
import { startFerry } from '../../scripts/demo/ferry.js';
import type { JobRequestInput, JobView } from '../../shared/schemas/job.js';
import { formatBytes, GiB, KiB, MiB } from '../../shared/units.js';
import { attachLoop, makeFileSystem } from '../storage/file-systems.js';
import { type Image, writeImage } from '../storage/image.js';
import { layOut, type Mix } from '../storage/layout.js';
import type { Sheet } from '../storage/report.js';
import { type Stage, within } from '../storage/stage.js';
import type { LoadDone, LoadOrder } from './load.js';
import { type Delays, readDelays, spanOf } from './loop-delays.js';

const SMALL: Mix = {
  imageBytes: GiB,
  dataBytes: 192 * MiB,
  segments: 300,
  smallest: 4 * KiB,
  largest: 32 * MiB,
};

export interface Figures {
  readonly accepted: readonly { readonly connections: number; readonly perSecond: number; readonly each: number[] }[];
  readonly acceptedBusy: readonly number[];
  readonly pollIdle: readonly number[];
  readonly pollBusy: readonly number[];
  readonly listBusy: readonly number[];
  readonly delays: readonly { readonly imports: number; readonly delays: Delays }[];
  readonly memory: readonly { readonly what: string; readonly bytes: number }[];
  readonly firstWriteMs: readonly number[];
}

export async function serviceFigures(options: Stage & { readonly quick: boolean }): Promise<Figures> {
  const { quick } = options;
  const load = new Worker(new URL('./load.js', import.meta.url));
  try {
    const idle = await whileIdle(options, load, quick ? 2000 : 10_000);
    const image = await makeImage(options, 'small.img', SMALL);
    const busy = await whileBusy(options, load, image, quick ? 3000 : 8000);
    const memory = await memoryUse(options, image, quick);
    const firstWriteMs = await firstWrites(options, image, quick ? 10 : 30);
    await rm(image.path);
    return { ...idle, ...busy, memory, firstWriteMs };
  } finally {
    await load.terminate();
  }
}

async function whileIdle({ directory, cleanup, signal }: Stage, load: Worker, count: number) {
  const home = join(directory, 'idle');
  const path = join(directory, 'tiny.img');
  await writeImage({ path, size: MiB, data: [], zeroes: [] }, 'zeroes', signal);
  const cluster = { directory: home, roots: [directory], nodes: [], leaseMs: 10_000, concurrency: 1 };
  const { url } = await startCluster(cluster, { cleanup, signal });
  const port = Number(new URL(url).port);
  const target = { type: 'file' as const, path: join(directory, 'never.img') };
  const body = JSON.stringify({ kind: 'upload', source: { type: 'file', path }, target });
  const submit = (connections: number, requests: number) =>
    order(load, { port, method: 'POST', path: '/v1/jobs', body, connections, count: requests });
  await submit(8, count / 4);
  const accepted = [];
  for (const connections of [1, 8, 32]) {
    const { ms, each } = await submit(connections, count);
    accepted.push({ connections, perSecond: each.length / (ms / 1000), each: [...each] });
  }
  const { jobs } = (await (await fetch(`${url}/v1/jobs?limit=1`)).json()) as { jobs: JobView[] };
  const job = `/v1/jobs/${jobs[0]?.id}`;
  const { each } = await order(load, { port, method: 'GET', path: job, connections: 1, count });
  return { accepted, pollIdle: each };
}

async function whileBusy(stage: Stage, load: Worker, image: Image, ms: number) {
  const delays: { imports: number; delays: Delays }[] = [];
  let polls: Omit<Figures, 'delays'> | object = {};
  for (const imports of [1, 4, 16, 10]) {
    await within(stage, `${imports} imports`, async (part) => {
      const devices = await makeDevices(part, image.size, imports);
      const { url } = await startServer(part, devices, imports);
      const port = Number(new URL(url).port);
      const running = keepImporting(url, image, devices, part.signal);
      // Undone first.
      part.cleanup.add('imports', () => running.stop());
      await sleep(1000);
      if (imports !== 10) {
        const before = await readDelays(url);
        await sleep(ms);
        delays.push({ imports, delays: spanOf(before, await readDelays(url)) });
        return;
      }
      const pauseMs = 5;
      const get = (path: string) => order(load, { port, method: 'GET', path, connections: 1, count: ms / 10, pauseMs });
      const pollBusy = (await get(`/v1/jobs/${running.someJob()}`)).each;
      const listBusy = (await get('/v1/jobs?limit=20')).each;
      const target = { type: 'file', path: join(part.directory, 'never.img') };
      const body = JSON.stringify({ kind: 'upload', source: { type: 'file', path: image.path }, target });
      const submit = { port, method: 'POST', path: '/v1/jobs', body, connections: 1, count: 200, pauseMs } as const;
      // Last: these jobs then wait behind the imports.
      polls = { pollBusy, listBusy, acceptedBusy: (await order(load, submit)).each };
    });
  }
  return { delays, ...(polls as Pick<Figures, 'pollBusy' | 'listBusy' | 'acceptedBusy'>) };
}

/** The most that a fresh server ever had resident. */
async function memoryUse(stage: Stage, small: Image, quick: boolean): Promise<Figures['memory']> {
  const found: { what: string; bytes: number }[] = [];
  const peak = async (what: string, image: Image, imports: number, rounds: number) =>
    await within(stage, what, async (part) => {
      const devices = await makeDevices(part, image.size, imports);
      const { url, pid } = await startServer(part, devices, imports);
      for (let i = 0; i < rounds; i += 1) {
        await Promise.all(devices.map((path) => runImport(url, image, path, part.signal)));
      }
      found.push({ what, bytes: highWater(pid) });
    });
  await peak('1 import of 1 GiB', small, 1, 10);
  await peak('10 imports of 1 GiB at once', small, 10, 3);
  const size = quick ? 128 * GiB : 1024 * GiB;
  const count = quick ? 12_500 : 100_000;
  const mix = { imageBytes: size, dataBytes: count * 12 * KiB, segments: count, smallest: 4 * KiB, largest: 64 * KiB };
  const large = await makeImage(stage, 'large.img', mix);
  await peak(`1 import of ${formatBytes(size)}, ${count.toLocaleString('en')} segments`, large, 1, 2);
  await rm(large.path);
  return found;
}

async function firstWrites(stage: Stage, image: Image, times: number): Promise<number[]> {
  return await within(stage, 'first writes', async (part) => {
    const [device = ''] = await makeDevices(part, image.size, 1);
    const { url } = await startServer(part, [device], 1);
    const watcher = new Worker(new URL('./watch-device.js', import.meta.url));
    const next = () => new Promise<unknown>((resolve) => watcher.once('message', resolve));
    const found: number[] = [];
    // The first ones start what is needed only then.
    for (let i = -3; i < times; i += 1) {
      const watching = next();
      watcher.postMessage(device);
      await watching;
      const written = next();
      const start = performance.timeOrigin + performance.now();
      const job = runImport(url, image, device, part.signal);
      const { at } = (await written) as { at: number };
      await job;
      if (i >= 0) found.push(at - start);
    }
    await watcher.terminate();
    return found;
  });
}

async function startServer({ directory, cleanup, signal }: Stage, devices: readonly string[], imports: number) {
  const data = join(directory, `state-${performance.now()}`);
  const flags = ['--port', '0', '--data-dir', data, '--storage-roots', [directory, ...devices].join(':')];
  const { ready, child } = await startFerry(['serve', ...flags, '--concurrency', String(imports)], cleanup, signal);
  return { url: ready.api?.url as string, pid: child.pid as number };
}

/** Sparse ones, in a file system in a sparse file: they cost what is written. */
async function makeDevices(stage: Stage, size: number, count: number): Promise<string[]> {
  const home = await makeFileSystem('ext4', Math.ceil(size * count * 1.03), stage);
  const paths: string[] = [];
  for (let i = 0; i < count; i += 1) {
    const backing = join(home.path, `device-${i}`);
    await writeFile(backing, '');
    await truncate(backing, size);
    paths.push(await attachLoop(backing, stage));
  }
  return paths;
}

async function makeImage({ directory, signal }: Stage, name: string, mix: Mix): Promise<Image> {
  const image = { path: join(directory, name), size: mix.imageBytes, data: layOut(mix, 7), zeroes: [] };
  await writeImage(image, 7, signal);
  return image;
}

/** Imports onto each device again and again. */
function keepImporting(url: string, image: Image, devices: readonly string[], signal: AbortSignal) {
  let stopped = false;
  let newest = '';
  const lanes = devices.map(async (device) => {
    while (!stopped) {
      await runImport(url, image, device, signal, (id) => {
        newest = id;
      });
    }
  });
  return {
    someJob: () => newest,
    async stop() {
      stopped = true;
      await Promise.allSettled(lanes);
    },
  };
}

async function runImport(url: string, image: Image, path: string, signal: AbortSignal, begun?: (id: string) => void) {
  const request: JobRequestInput = {
    kind: 'upload',
    source: { type: 'file', path: image.path },
    target: { type: 'block', path },
    options: { priority: 10 },
  };
  const headers = { 'content-type': 'application/json' };
  const accepted = await fetch(`${url}/v1/jobs`, { method: 'POST', headers, body: JSON.stringify(request), signal });
  const { id } = (await accepted.json()) as JobView;
  begun?.(id);
  for (;;) {
    const job = (await (await fetch(`${url}/v1/jobs/${id}?wait=30`, { signal })).json()) as JobView;
    if (job.state === 'completed') return;
    if (job.endedAt !== null) throw new Error(`${job.error?.code}: ${job.error?.message}`);
  }
}

function highWater(pid: number): number {
  const kib = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) * 1024;
}

async function order(load: Worker, what: LoadOrder): Promise<LoadDone> {
  const answer = new Promise<{ done?: LoadDone; error?: string }>((resolve) => load.once('message', resolve));
  load.postMessage(what);
  const { done, error } = await answer;
  if (done === undefined) throw new Error(error);
  return done;
}

export function figureSheet(figures: Figures): Sheet {
  const rows: string[][] = [];
  const add = (what: string, value: string, goal = '', met: boolean | null = null) =>
    rows.push([what, value, goal, met === null ? '' : met ? 'met' : 'missed']);
  const most = Math.max(...figures.accepted.map(({ perSecond }) => perSecond));
  for (const { connections, perSecond, each } of figures.accepted) {
    const isMost = perSecond === most;
    const what = `jobs accepted, idle, ${connections} connection${connections > 1 ? 's' : ''}`;
    const value = `${Math.round(perSecond)} a second; p50 ${ms(at(each, 0.5))}, p99 ${ms(at(each, 0.99))}`;
    add(what, value, isMost ? 'at least 1,500 a second' : '', isMost ? perSecond >= 1500 : null);
  }
  const times = (each: readonly number[]) =>
    `p50 ${ms(at(each, 0.5))}, p99 ${ms(at(each, 0.99))}, max ${ms(at(each, 1))}`;
  add('submit while 10 imports run', times(figures.acceptedBusy));
  add('GET /v1/jobs/{id}, idle', times(figures.pollIdle));
  const pollMet = at(figures.pollBusy, 0.99) < 50;
  add('GET /v1/jobs/{id} while 10 imports run', times(figures.pollBusy), 'p99 under 50 ms', pollMet);
  add(
    'GET /v1/jobs?limit=20 while 10 imports run',
    times(figures.listBusy),
    'p99 under 50 ms',
    at(figures.listBusy, 0.99) < 50,
  );
  for (const { imports, delays } of figures.delays) {
    const value = `p50 below ${ms(delays.p50)}, p99 below ${ms(delays.p99)}, max below ${ms(delays.max)}`;
    const isGoal = imports === 16;
    add(
      `event-loop delay, ${imports} imports`,
      value,
      isGoal ? 'p99 under 20 ms' : '',
      isGoal ? delays.p99 <= 20 : null,
    );
  }
  for (const { what, bytes } of figures.memory) {
    const isGoal = what.startsWith('10 ');
    add(
      `resident memory, ${what}`,
      formatBytes(bytes),
      isGoal ? 'under 400 MiB' : '',
      isGoal ? bytes < 400 * MiB : null,
    );
  }
  const first = at(figures.firstWriteMs, 0.5);
  add('submit to first write', times(figures.firstWriteMs), 'within 50 ms', first <= 50);
  return { title: 'The service', head: ['', 'measured', 'goal', ''], rows };
}

function at(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

function ms(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}
