/** The pool of threads: the one seam where errors become plain data and errors again, and its ends. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { getPriority } from 'node:os';
import { expect } from 'chai';
import { FerryError } from '../../../shared/errors.js';
import { MiB } from '../../../shared/units.js';
import { ControlBlock } from '../../../workers/control.js';
import { BUFFER_LENGTH, Workers } from '../../../workers/pool.js';
import type { TargetHandle } from '../../../workers/storage/handle.js';
import { makeImage } from '../../helpers/bytes.js';
import { failure } from '../../helpers/failure.js';
import { request } from '../../helpers/targets.js';
import { tempDir } from '../../helpers/temp.js';
import { openPaths } from '../../helpers/transfer.js';

describe('workers: pool', function () {
  this.timeout(30_000);
  let workers: Workers;

  beforeEach(() => {
    workers = new Workers({ threads: 2, bufferBytes: 4 * MiB });
  });
  afterEach(() => workers.close());

  it('lets the event loop go first: its threads are nicer, it stays as it is', async () => {
    await workers.ready();
    const niceness = (task: string) => {
      // Field 19 of proc_pid_stat(5); the name in parentheses may hold spaces.
      const text = readFileSync(`/proc/self/task/${task}/stat`, 'latin1');
      return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[16]);
    };
    const own = niceness(String(process.pid));
    const nicer = readdirSync('/proc/self/task').filter((task) => niceness(task) === Math.min(19, own + 5));
    expect(own).to.equal(getPriority());
    // In a sandbox that refuses it they are equal, but the tests run in none.
    expect(nicer).to.have.length(2);
  });

  it("rebuilds a task's error: class, code, details, status", async () => {
    const error = await failure(() => workers.run('openSource', { path: '/no/such', roots: ['/no'] }));
    expect(error).to.be.instanceOf(FerryError);
    expect(error.code).to.equal('PATH_FORBIDDEN');
    expect(error.status).to.equal(403);
    expect(error.retry).to.equal(false);
    expect(error.details).to.deep.equal({ field: 'source.path', path: '/no/such' });
    expect(error.message).to.include('/no/such').and.include('FERRY_STORAGE_ROOTS');
  });

  it('keeps errno, syscall and path of a system call that failed on a thread', async () => {
    const gone = { fd: 1_000_000, directFd: null, path: '/srv/x', created: false } as unknown as TargetHandle;
    const error = await failure(() => workers.run('flush', { target: gone }));
    expect(error.code).to.equal('FLUSH_FAILED');
    expect(error.status).to.equal(500);
    expect(error.retry).to.equal(false);
    expect(error.details).to.deep.equal({ errno: 9, syscall: 'fdatasync', path: '/srv/x' });
  });

  it('makes any other thrown thing INTERNAL, with its message', async () => {
    const error = await failure(() => workers.run('close', { handles: null as never }));
    expect(error.code).to.equal('INTERNAL');
    expect(error.status).to.equal(500);
    expect(error.message).to.not.equal('');
    // And the thread lives on.
    await workers.run('close', { handles: [] });
  });

  it('makes an input that cannot be sent to a thread INTERNAL', async () => {
    const error = await failure(() => workers.run('close', { handles: [() => {}] as never }));
    expect(error.code).to.equal('INTERNAL');
  });

  it('has one buffer for each MiB allowed, at least one', async () => {
    expect(BUFFER_LENGTH).to.equal(MiB);
    expect(workers.buffers.limit).to.equal(4);
    const small = new Workers({ threads: 1, bufferBytes: 1 });
    expect(small.buffers.limit).to.equal(1);
    await small.close();
  });

  it('runs tasks on several threads at once, and shares descriptors and memory between them', async () => {
    await using dir = await tempDir();
    const size = 8 * MiB;
    await makeImage(dir.join('image'), size, [{ start: 0, length: size }]);
    const source = await workers.run('openSource', { path: dir.join('image'), roots: [dir.path] });
    const control = new ControlBlock();
    const opening = { ...request('file', dir.join('target'), size), control: control.memory };
    const target = await workers.run('openTarget', opening);
    const copies = [0, 1, 2, 3].map(async (part) => {
      const buffer = await workers.buffers.acquire();
      const ranges = Float64Array.of(part * 2 * MiB, 2 * MiB);
      const options = { clone: false, detectZeroes: true, targetZeroed: false, allocation: 'sparse' as const };
      await workers.run('copy', { source, target, ranges, ...options, buffer, control: control.memory });
      workers.buffers.release(buffer);
    });
    expect(workers.busyThreads).to.be.at.most(2);
    await Promise.all(copies);
    expect(control.read('copied')).to.equal(size);
    expect(workers.busyThreads).to.equal(0);
    await workers.run('close', { handles: [source, target] });
  });
});

describe('workers: closing the pool', function () {
  this.timeout(30_000);

  it('waits for every task that runs or waits, takes no new one', async () => {
    await using dir = await tempDir();
    await writeFile(dir.join('image'), 'x');
    const workers = new Workers({ threads: 1, bufferBytes: MiB });
    const before = openPaths();
    const opened = Array.from({ length: 5 }, () =>
      workers.run('openSource', { path: dir.join('image'), roots: [dir.path] }),
    );
    const order: string[] = [];
    for (const task of opened) void task.then(() => order.push('task'));
    const closed = workers.close().then(() => order.push('closed'));
    const error = await failure(() => workers.run('close', { handles: [] }));
    expect(error.code).to.equal('INTERRUPTED');
    expect(error.retry).to.equal(true);
    const handles = await Promise.all(opened);
    await closed;
    expect(order).to.deep.equal([...Array(5).fill('task'), 'closed']);
    // The threads are gone; their descriptors are not, and belong to whoever opened them.
    const again = new Workers({ threads: 1, bufferBytes: MiB });
    await again.run('close', { handles });
    await again.close();
    expect(openPaths()).to.deep.equal(before);
  });

  it('may be done twice, and at once', async () => {
    const workers = new Workers({ threads: 1, bufferBytes: MiB });
    await Promise.all([workers.close(), workers.close()]);
    await workers.close();
  });

  it('does not keep the process alive', async () => {
    const pool = new URL('../../../workers/pool.js', import.meta.url).href;
    const script = `const { Workers } = await import(${JSON.stringify(pool)});
      const workers = new Workers({ threads: 2, bufferBytes: 1048576 });
      await workers.run('close', { handles: [] });
      await workers.close();`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: 'inherit' });
    const [code] = await once(child, 'exit');
    expect(code).to.equal(0);
  });
});
