/** The module in many worker threads at once: loading, sharing memory and descriptors, and ending in the middle. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect } from 'chai';
import { loadNative } from '../../../workers/native/index.js';
import { patternBytes, readRange } from '../../helpers/bytes.js';
import { tempDir } from '../../helpers/temp.js';
import { O_CREAT, O_RDWR } from './expect-error.js';

const native = loadNative();
const MiB = 1024 * 1024;
const THREADS = 8;
const binding = new URL('../../../workers/native/index.js', import.meta.url).href;

/** A thread that imports the binding as `native` and then runs `code`; `data` is what it is given. */
function thread(code: string, data: Record<string, unknown> = {}): Worker {
  const source = `
    import { parentPort, workerData } from 'node:worker_threads';
    import { loadNative } from ${JSON.stringify(binding)};
    const native = loadNative();
    ${code}`;
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { workerData: data });
}

describe('native module in worker threads', () => {
  it('works in eight threads on one descriptor and one SharedArrayBuffer', async () => {
    await using dir = await tempDir();
    const fd = native.open(dir.join('file'), O_RDWR | O_CREAT);
    const memory = new SharedArrayBuffer(THREADS * MiB);
    new Uint8Array(memory).set(patternBytes(1, THREADS * MiB));
    try {
      const code = `
        const { fd, memory, index, MiB } = workerData;
        const buffer = new Uint8Array(memory);
        for (let done = 0; done < MiB; ) {
          done += native.pwrite(fd, buffer, index * MiB + done, MiB - done, index * MiB + done);
        }
        const zero = native.isZero(buffer, index * MiB, MiB);
        let code;
        try { native.pread(1_000_000, buffer, 0, 1, 0); } catch (error) { code = error.code; }
        parentPort.postMessage({ zero, code });`;
      const answers = await Promise.all(
        Array.from({ length: THREADS }, async (_, index) => {
          const worker = thread(code, { fd, memory, index, MiB });
          const [[answer]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')]);
          return answer as unknown;
        }),
      );
      expect(answers).to.deep.equal(Array(THREADS).fill({ zero: false, code: 'EBADF' }));
      expect((await readRange(dir.join('file'), 0, THREADS * MiB)).equals(patternBytes(1, THREADS * MiB))).to.equal(
        true,
      );
    } finally {
      native.close(fd);
    }
  });

  it('is still there after threads that loaded it have ended', async () => {
    for (let round = 0; round < 3; round++) {
      const workers = Array.from({ length: THREADS }, () => thread(''));
      await Promise.all(workers.map((worker) => once(worker, 'exit')));
    }
    expect(native.isZero(new Uint8Array(64), 0, 64)).to.equal(true);
  });

  // Throwing into a thread that is being terminated once ended the whole process (napi_fatal_error):
  // node-addon-api must be built to swallow what can no longer be thrown, see binding.gyp.
  it('a thread may be terminated while its calls fail', async () => {
    for (let round = 0; round < 5; round++) {
      const workers = Array.from({ length: 4 }, () =>
        thread(`
          const buffer = new Uint8Array(16);
          parentPort.postMessage('running');
          for (;;) { try { native.pread(1_000_000, buffer, 0, 16, 0); } catch {} }`),
      );
      await Promise.all(workers.map((worker) => once(worker, 'message')));
      await Promise.all(workers.map((worker) => worker.terminate()));
    }
  });
});
