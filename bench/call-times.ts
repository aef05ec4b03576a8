/**
 * What timing the native calls costs: the same calls with and without it, on one thread, and on several that add to
 * the same histogram. Prints nanoseconds a call. `npm run build && node dist/bench/call-times.js`
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { allocateShared, view } from '../workers/buffers.js';
import { CallTimes } from '../workers/call-times.js';
import { loadNative, type NativeIo } from '../workers/native/index.js';
import { timedIo } from '../workers/timed-io.js';

const MiB = 1024 * 1024;
const ROUNDS = 7;
const THREADS = 4;

interface Job {
  readonly path: string;
  readonly memory: SharedArrayBuffer;
}

/** Calls, from the cheapest one there is to the one that copies. */
const CALLS: readonly { name: string; times: number; make: (io: NativeIo, fd: number, buffer: Uint8Array) => void }[] =
  [
    { name: 'seek', times: 200_000, make: (io, fd) => io.seekEnd(fd) },
    { name: 'read 4 KiB', times: 100_000, make: (io, fd, buffer) => io.pread(fd, buffer, 0, 4096, 0) },
    { name: 'read 1 MiB', times: 1_000, make: (io, fd, buffer) => io.pread(fd, buffer, 0, MiB, 0) },
  ];

/** The quickest of some rounds of each, in turn, so that both meet the same machine. */
function measure({ path, memory }: Job): Record<string, { plain: number; timed: number }> {
  const plain = loadNative();
  const timed = timedIo(new CallTimes(memory), plain);
  const buffer = view(allocateShared(plain, MiB));
  const fd = plain.open(path, plain.constants.O_RDONLY);
  const results: Record<string, { plain: number; timed: number }> = {};
  for (const { name, times, make } of CALLS) {
    const round = (io: NativeIo) => {
      const before = performance.now();
      for (let i = 0; i < times; i += 1) make(io, fd, buffer);
      return ((performance.now() - before) / times) * 1e6;
    };
    const best = { plain: Infinity, timed: Infinity };
    for (let i = 0; i < ROUNDS; i += 1) {
      best.plain = Math.min(best.plain, round(plain));
      best.timed = Math.min(best.timed, round(timed));
    }
    results[name] = best;
  }
  plain.close(fd);
  return results;
}

if (!isMainThread) {
  parentPort?.postMessage(measure(workerData as Job));
} else {
  const directory = mkdtempSync(join(tmpdir(), 'ferry-bench-'));
  try {
    const job: Job = { path: join(directory, 'file'), memory: new CallTimes().memory };
    writeFileSync(job.path, Buffer.alloc(MiB, 1));
    print('1 thread', [measure(job)]);
    const workers = Array.from({ length: THREADS }, () => new Worker(new URL(import.meta.url), { workerData: job }));
    print(`${THREADS} threads`, (await Promise.all(workers.map((worker) => once(worker, 'message')))).flat());
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function print(title: string, measured: readonly Record<string, { plain: number; timed: number }>[]): void {
  for (const { name } of CALLS) {
    const mean = (kind: 'plain' | 'timed') =>
      Math.round(measured.reduce((sum, result) => sum + (result[name]?.[kind] ?? 0), 0) / measured.length);
    const [plain, timed] = [mean('plain'), mean('timed')];
    console.log(`${title}: ${name}: ${plain} ns, timed ${timed} ns, ${timed - plain} ns more`);
  }
}
