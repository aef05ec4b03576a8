/**
 * A real disk image: GPT, one ext4 file system, filled with files of this machine. Mostly free, like the
 * disks that people migrate. Needs no root: sfdisk and mkfs.ext4 work on plain files.
 */
import { constants, copyFile, mkdir, open, readdir, stat, truncate } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MiB } from '../../shared/units.js';
import { run } from './children.js';

const SOURCES = ['/usr/lib', '/usr/share'];
/** Where its file system begins. */
export const PARTITION_START = MiB;

export interface ImageSize {
  /** Virtual size in bytes. */
  readonly size: number;
  /** Bytes of files, about. */
  readonly contentBytes: number;
}

/** Makes `path`; `scratch` is a directory for what goes into it, which the caller removes. */
export async function makeImage(
  path: string,
  scratch: string,
  { size, contentBytes }: ImageSize,
  signal: AbortSignal,
): Promise<{ files: number; bytes: number }> {
  const content = await collectFiles(scratch, contentBytes, signal);
  // GPT keeps a copy of its table in the last sectors.
  const length = size - MiB - PARTITION_START;
  const file = await open(path, 'wx');
  await file.close();
  await truncate(path, size);
  const sectors = (bytes: number) => bytes / 512;
  await run('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', path], {
    signal,
    input: `label: gpt\nstart=${sectors(PARTITION_START)}, size=${sectors(length)}, type=linux\n`,
  });
  const extended = `offset=${PARTITION_START},lazy_itable_init=1,lazy_journal_init=1,nodiscard`;
  const blocks = String(length / 4096);
  await run('mkfs.ext4', ['-q', '-F', '-b', '4096', '-L', 'demo', '-E', extended, '-d', scratch, path, blocks], {
    signal,
  });
  // Durable before anything is timed: its write-back must not disturb the first to run.
  await run('sync', [path], { signal });
  return content;
}

/** What a file takes of its file system: holes are free. */
export async function allocatedBytes(path: string): Promise<number> {
  return (await stat(path)).blocks * 512;
}

/** Copies files of this machine until there are enough. Files, not noise: they have the sizes that files have. */
async function collectFiles(
  scratch: string,
  wanted: number,
  signal: AbortSignal,
): Promise<{ files: number; bytes: number }> {
  let files = 0;
  let bytes = 0;
  for (const source of SOURCES) {
    // Half from each: libraries and programs, then documents and data.
    const enough = (wanted / SOURCES.length) * (SOURCES.indexOf(source) + 1);
    for await (const path of regularFiles(source)) {
      signal.throwIfAborted();
      if (bytes >= enough) break;
      const copy = join(scratch, path);
      try {
        const { size } = await stat(path);
        if (size > wanted / 4) continue;
        await mkdir(dirname(copy), { recursive: true });
        await copyFile(path, copy, constants.COPYFILE_FICLONE);
        files++;
        bytes += size;
      } catch (cause) {
        if (['EACCES', 'EPERM', 'ENOENT'].includes(String((cause as NodeJS.ErrnoException).code))) continue;
        throw cause;
      }
    }
  }
  return { files, bytes };
}

async function* regularFiles(directory: string): AsyncGenerator<string> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (entry.isFile()) yield path;
    else if (entry.isDirectory()) yield* regularFiles(path);
  }
}
