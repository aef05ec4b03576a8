/** Says when a block device is first written to or zeroed: asks the kernel's counters without a pause, on a thread. */
import { closeSync, openSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parentPort } from 'node:worker_threads';

/** Of /sys/block/NAME/stat: writes (zeroing is one) and discards that have ended. */
const [WRITES, DISCARDS] = [4, 11];
const PATIENCE_MS = 10_000;

parentPort?.on('message', (path: string) => {
  const fd = openSync(`/sys/block/${basename(path)}/stat`, 'r');
  const room = Buffer.alloc(512);
  const count = () => {
    const fields = room
      .toString('latin1', 0, readSync(fd, room, 0, room.length, 0))
      .trim()
      .split(/\s+/);
    return Number(fields[WRITES]) + Number(fields[DISCARDS]);
  };
  const before = count();
  const start = performance.now();
  parentPort?.postMessage('watching');
  while (count() === before && performance.now() - start < PATIENCE_MS);
  parentPort?.postMessage({ at: performance.timeOrigin + performance.now() });
  closeSync(fd);
});
