/** A client on a thread of its own: polls without a pause and, when told to stop, says how long the answers took. */
import { performance } from 'node:perf_hooks';
import { parentPort, workerData } from 'node:worker_threads';

const { url } = workerData as { url: string };
const times: number[] = [];
let stopped = false;
parentPort?.once('message', () => {
  stopped = true;
});
parentPort?.postMessage('ready');
while (!stopped) {
  const before = performance.now();
  const answer = await fetch(url);
  await answer.text();
  times.push(performance.now() - before);
  await new Promise((resolve) => setTimeout(resolve, 10));
}
times.sort((a, b) => a - b);
const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
parentPort?.postMessage({ p50: at(0.5), p99: at(0.99), max: at(1) });
