/** What tests do to running processes, and see of them: freezing is what happens to a machine that is suspended. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { until } from '../integration/cli/programs.js';

// By number, as /proc tells them.
const CALLS = process.arch === 'arm64' ? { pwrite64: '68', fallocate: '47' } : { pwrite64: '18', fallocate: '285' };

/** Resolves when every thread has stopped: one that is in a system call stops at its end. */
export async function freeze(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  await until(`process ${pid} is frozen`, () => states(pid).every((state) => state === 'T' || state === 't'));
}

/** @returns when it goes on, in ms since the epoch */
export function wake(pid: number): number {
  const at = Date.now();
  process.kill(pid, 'SIGCONT');
  return at;
}

/** Whether the process has that file or device open. */
export function hasOpen(pid: number, path: string): boolean {
  return readdirSync(`/proc/${pid}/fd`).some((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`) === path;
    } catch {
      return false;
    }
  });
}

/** Number of threads that are held in that system call, for instance by strace(1). */
export function threadsIn(pid: number, call: keyof typeof CALLS): number {
  const now = readThreads(pid, 'syscall').map((text) => text.split(' ')[0]);
  return now.filter((number) => number === CALLS[call]).length;
}

function states(pid: number): string[] {
  // pid (name) state …; the name may hold spaces and parentheses.
  return readThreads(pid, 'stat').map((stat) => stat.charAt(stat.lastIndexOf(')') + 2));
}

function readThreads(pid: number, file: 'stat' | 'syscall'): string[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => readFileSync(`/proc/${pid}/task/${thread}/${file}`, 'utf8'));
}
