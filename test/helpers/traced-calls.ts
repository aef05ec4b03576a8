/**
 * What a running program writes where, and when it flushes, as the kernel sees it: strace(1) on all of its threads.
 * `write-trace.ts` says when instead of where.
 * `await using trace = await traceCalls(pid, target);` … `const calls = await trace.end();`
 */
import { readFile } from 'node:fs/promises';
import { tempDir } from './temp.js';
import { attach } from './tracer.js';

const CALLS = 'pwrite64,fallocate,fdatasync';

export interface TracedCall {
  readonly name: 'pwrite64' | 'fallocate' | 'fdatasync';
  /** Of the range, in bytes; 0 for a flush. */
  readonly start: number;
  readonly length: number;
  /** False: it failed, or the program was gone before its end. */
  readonly succeeded: boolean;
}

export interface Trace extends AsyncDisposable {
  /** Stops tracing; the program goes on. @returns the calls in the order in which they began */
  end(): Promise<TracedCall[]>;
}

/**
 * Traces calls on one file or device.
 * @param inject  makes calls fail besides, such as `fdatasync:error=EIO:when=3+`; a thread counts its own calls
 */
export async function traceCalls(pid: number, path: string, inject: readonly string[] = []): Promise<Trace> {
  const directory = await tempDir();
  const output = directory.join('trace');
  const faults = inject.flatMap((text) => ['-e', `inject=${text}`]);
  const strace = await attach(pid, ['-s', '0', '-o', output, '-P', path, '-e', `trace=${CALLS}`, ...faults]);
  let calls: TracedCall[] | undefined;
  const end = async () => {
    if (calls !== undefined) return calls;
    await strace.detach();
    calls = parse(await readFile(output, 'utf8'));
    await directory.release();
    return calls;
  };
  return {
    end,
    [Symbol.asyncDispose]: async () => {
      await end();
    },
  };
}

/** Lines such as `711 pwrite64(31, ""..., 4096, 8192) = 4096`; a call may be cut in two by one of another thread. */
function parse(text: string): TracedCall[] {
  const calls: { -readonly [K in keyof TracedCall]: TracedCall[K] }[] = [];
  const unfinished = new Map<string, (typeof calls)[number]>();
  for (const line of text.split('\n')) {
    const [, thread = '', rest = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? [];
    const result = /= (-?\d+)( |$)/.exec(rest)?.[1];
    const succeeded = result !== undefined && Number(result) >= 0;
    const begun = /^(pwrite64|fallocate|fdatasync)\((.*)/.exec(rest);
    if (begun !== null) {
      const call = {
        name: begun[1] as TracedCall['name'],
        ...rangeOf(begun[1] as string, begun[2] as string),
        succeeded,
      };
      calls.push(call);
      if (rest.endsWith('<unfinished ...>')) unfinished.set(thread, call);
    } else if (rest.startsWith('<...')) {
      const call = unfinished.get(thread);
      if (call !== undefined) call.succeeded = succeeded;
      unfinished.delete(thread);
    }
  }
  return calls;
}

/** `…, length, start)` of pwrite64, `…, start, length)` of fallocate. */
function rangeOf(name: string, args: string): { start: number; length: number } {
  const [, first, second] = /, (\d+), (\d+)(?:\)| <unfinished)/.exec(args) ?? [];
  if (first === undefined) return { start: 0, length: 0 };
  const [start, length] = name === 'pwrite64' ? [second, first] : [first, second];
  return { start: Number(start), length: Number(length) };
}
