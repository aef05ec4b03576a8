/** What a result is worth depends on where it was made: the machine, the kernel, the versions of all programs. */
import { cpus, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { run } from '../../scripts/demo/children.js';

const VERSIONS: Readonly<Record<string, readonly string[]>> = {
  'qemu-img': ['qemu-img', '--version'],
  nbdcopy: ['nbdcopy', '--version'],
  dd: ['dd', '--version'],
  'util-linux': ['blkdiscard', '--version'],
  gcc: ['gcc', '--version'],
};

export interface Machine {
  readonly cores: number;
  readonly processor: string;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  /** Of this project; with `-dirty` where something is changed. */
  readonly commit: string;
  readonly versions: Readonly<Record<string, string>>;
}

export async function describeMachine(signal: AbortSignal): Promise<Machine> {
  const firstLine = async ([command, ...args]: readonly string[]) => {
    try {
      return (await run(command as string, args, { signal })).stdout.split('\n')[0] ?? '';
    } catch {
      signal.throwIfAborted();
      return 'unknown';
    }
  };
  const versions: Record<string, string> = {};
  for (const [name, command] of Object.entries(VERSIONS)) versions[name] = await firstLine(command);
  const project = fileURLToPath(new URL('../../..', import.meta.url));
  return {
    cores: cpus().length,
    processor: cpus()[0]?.model ?? 'unknown',
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    commit: await firstLine(['git', '-C', project, 'describe', '--always', '--dirty', '--abbrev=12', '--exclude=*']),
    versions,
  };
}
