/**
 * Who copies: others' tools as their users run them, and the floor. All are timed until the storage has the bytes: what does
 * not flush by itself is followed by a flush inside of its time.
 */
import { rmSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { run } from '../../scripts/demo/children.js';
import type { Image } from './images.js';
import type { BenchTarget } from './targets.js';

export interface Contestant {
  readonly name: string;
  readonly role: 'ours' | 'peer' | 'floor';
  readonly how: string;
  /** Copies the image onto all targets at once. @returns ms until the last one is durable */
  copy(image: Image, targets: readonly BenchTarget[]): Promise<number>;
}

/** @param args  of one copy */
function tool(
  name: string,
  how: string,
  signal: AbortSignal,
  command: (image: Image, target: BenchTarget) => readonly string[],
  before: (target: BenchTarget) => void = () => {},
  role: Contestant['role'] = 'peer',
): Contestant {
  return {
    name,
    role,
    how,
    async copy(image, targets) {
      for (const target of targets) before(target);
      const start = performance.now();
      await Promise.all(
        targets.map(async (target) => {
          const [program, ...args] = command(image, target);
          await run(program as string, args, { signal });
          await run('sync', ['--data', target.path], { signal });
        }),
      );
      return performance.now() - start;
    },
  };
}

/** Made anew by the tool itself, as it would be without us. */
function remove({ type, path }: BenchTarget): void {
  if (type === 'file') rmSync(path);
}

export function dd(signal: AbortSignal): Contestant {
  return tool('dd', 'bs=4M oflag=direct', signal, (image, target) => [
    'dd',
    `if=${image.path}`,
    `of=${target.path}`,
    'bs=4M',
    'oflag=direct',
    'conv=notrunc',
    'status=none',
  ]);
}

export function qemuDefault(signal: AbortSignal): Contestant {
  return tool(
    'qemu-img convert',
    'default',
    signal,
    (image, { type, allocation, path }) => [
      ...['qemu-img', 'convert', '-f', 'raw', '-O', 'raw'],
      ...(type === 'block' ? ['-n'] : allocation === 'preallocated' ? ['-o', 'preallocation=falloc'] : []),
      ...[image.path, path],
    ],
    remove,
  );
}

/** @param cache  `-t` of the target */
export function qemuParallel(signal: AbortSignal, cache: 'writeback' | 'none'): Contestant {
  const flags = ['-n', '-W', '-m', '8', '-T', 'writeback', '-t', cache];
  return tool('qemu-img convert', flags.join(' '), signal, (image, { path }) => [
    ...['qemu-img', 'convert', '-f', 'raw', '-O', 'raw', ...flags],
    ...[image.path, path],
  ]);
}

export function nbdcopy(signal: AbortSignal): Contestant {
  return tool('nbdcopy', '--flush', signal, (image, { allocation, path }) => [
    ...['nbdcopy', '--flush', ...(allocation === 'preallocated' ? ['--allocated'] : [])],
    ...[image.path, path],
  ]);
}

export function cp(signal: AbortSignal, how: '--sparse=always' | '--reflink=always'): Contestant {
  return tool('cp', how, signal, (image, { path }) => ['cp', how, image.path, path], remove);
}

/** @param program  compiled from bench/native/floor.c */
export function floor(signal: AbortSignal, program: string): Contestant {
  const threads = 4;
  return tool(
    'floor',
    `one zero call, then data from ${threads} threads in C`,
    signal,
    ({ path }, target) => [program, path, target.path, target.allocation, String(threads)],
    undefined,
    'floor',
  );
}

/** Zeroes a whole target. */
export function zeroTool(signal: AbortSignal, type: BenchTarget['type']): Contestant {
  return type === 'block'
    ? tool('blkdiscard', '--zeroout', signal, (_image, { path }) => ['blkdiscard', '--zeroout', path])
    : tool('fallocate', '--zero-range', signal, (_image, { path, size }) => [
        'fallocate',
        '--zero-range',
        '--length',
        String(size),
        path,
      ]);
}
