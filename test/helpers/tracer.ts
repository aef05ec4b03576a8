/** strace(1) on a process that runs already, on all of its threads and those that it starts later. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export interface Tracer extends AsyncDisposable {
  /** Of strace itself. */
  readonly pid: number;
  /** Lets go of the process, which goes on untouched. Safe to repeat. */
  detach(): Promise<void>;
}

/** Resolves when strace holds every thread. A process that is stopped stays so. */
export async function attach(pid: number, args: readonly string[]): Promise<Tracer> {
  const strace: ChildProcess = spawn('strace', ['-f', '-p', String(pid), ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const lines = createInterface({ input: strace.stderr as NonNullable<typeof strace.stderr> });
  await new Promise<void>((resolve, reject) => {
    lines.on('line', (line) => {
      // One such line a thread; the last ones may follow, new threads are followed by themselves.
      if (/attached/.test(line)) resolve();
    });
    strace.once('exit', (code) => reject(new Error(`strace ended with ${code}`)));
  });
  const detach = async () => {
    if (strace.exitCode !== null || strace.signalCode !== null) return;
    const exit = once(strace, 'exit');
    // It may be stopped itself, by a test that freezes a process through it.
    strace.kill('SIGINT');
    strace.kill('SIGCONT');
    await exit;
  };
  return { pid: Number(strace.pid), detach, [Symbol.asyncDispose]: detach };
}

/**
 * Makes system calls of a running process fail or take longer (strace(1) -e inject).
 * @param inject  such as `pwrite64:delay_enter=20000` (microseconds) or `fdatasync:error=EIO`
 */
export function injectFaults(pid: number, inject: string): Promise<Tracer> {
  const call = inject.slice(0, inject.indexOf(':'));
  return attach(pid, ['-e', `trace=${call}`, '-e', `inject=${inject}`, '-o', '/dev/null']);
}
