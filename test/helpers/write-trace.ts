/**
 * Who wrote when: every call of a process that changes storage, as strace(1) saw it, thread by thread.
 * Times are milliseconds since the epoch, as those of `Date.now()`.
 */
import { readFile } from 'node:fs/promises';
import { tempDir } from './temp.js';
import { attach, type Tracer } from './tracer.js';

const CALLS = 'pwrite64,pwritev,pwritev2,io_submit,fallocate,ftruncate,copy_file_range,ioctl';
/** ioctl is asked for much that changes nothing. */
const CHANGING_IOCTL = /\b(BLKZEROOUT|BLKDISCARD|BLKSECDISCARD|FICLONE|FICLONERANGE)\b/;

export interface WriteCall {
  readonly thread: number;
  readonly name: string;
  readonly startedMs: number;
  /** null: it had not ended when the trace did. */
  endedMs: number | null;
}

export interface WriteTrace extends Tracer {
  /** In the order in which they started. Those that were not let through to the kernel are left out. */
  calls(): Promise<WriteCall[]>;
}

/** @param inject  makes some calls take longer or fail, as in `injectFaults` */
export async function traceWrites(pid: number, inject?: string): Promise<WriteTrace> {
  const dir = await tempDir();
  const file = dir.join('trace');
  const slow = inject === undefined ? [] : ['-e', `inject=${inject}`];
  const tracer = await attach(pid, ['-ttt', '-T', '-e', `trace=${CALLS}`, ...slow, '-o', file]);
  return {
    ...tracer,
    calls: async () => parseTrace(await readFile(file, 'utf8')),
    async [Symbol.asyncDispose]() {
      await tracer.detach();
      await dir.release();
    },
  };
}

// 1234 1700000000.123456 pwrite64(21, "…"..., 1048576, 0) = 1048576 <0.000213>
// 1234 1700000000.123456 pwrite64(21, "…"..., 1048576, 0 <unfinished ...>
// 1234 1700000000.223456 <... pwrite64 resumed>) = 1048576 <0.100000>
const LINE = /^(\d+) +(\d+\.\d+) (?:(\w+)\(|<\.\.\. (\w+) resumed>)(.*)$/;
const TOOK = /<(\d+\.\d+)>$/;

export function parseTrace(text: string): WriteCall[] {
  const calls: WriteCall[] = [];
  const open = new Map<number, WriteCall>();
  for (const line of text.split('\n')) {
    const [, pid, seconds, begun, resumed, rest = ''] = LINE.exec(line) ?? [];
    const name = begun ?? resumed;
    if (name === undefined) continue;
    const thread = Number(pid);
    const at = Number(seconds) * 1000;
    let call = open.get(thread);
    if (begun !== undefined) {
      call = { thread, name, startedMs: at, endedMs: null };
      if (name === 'ioctl' && !CHANGING_IOCTL.test(rest)) call = undefined;
      else calls.push(call);
    }
    open.delete(thread);
    if (call === undefined) continue;
    const took = TOOK.exec(rest)?.[1];
    if (took === undefined) open.set(thread, call);
    else call.endedMs = call.startedMs + Number(took) * 1000;
  }
  return calls;
}
