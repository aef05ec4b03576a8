/**
 * A real disk image: GPT, one ext4 file system, filled with files of this machine. Mostly free, like the
 * disks that people migrate. Needs no root: sfdisk and mkfs.ext4 work on plain files.
 */
import { constants, copyFile, mkdir, open, readdir, stat, truncate } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { GiB, MiB } from '../../shared/units.js';
import { run } from './children.js';

export const IMAGE_SIZE = 6 * GiB;
const CONTENT = 400 * MiB;
const SOURCES = ['/usr/lib', '/usr/share'];
const PARTITION_START = MiB;
/** GPT keeps a copy of its table in the last sectors. */
const PARTITION_END = IMAGE_SIZE - MiB;

/** Makes `path`; `scratch` is a directory for what goes into it, which the caller removes. */
export async function makeImage(
  path: string,
  scratch: string,
  signal: AbortSignal,
): Promise<{ files: number; bytes: number }> {
  const content = await collectFiles(scratch, signal);
  const file = await open(path, 'wx');
  await file.close();
  await truncate(path, IMAGE_SIZE);
  const sectors = (bytes: number) => bytes / 512;
  await run('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', path], {
    signal,
    input: `label: gpt\nstart=${sectors(PARTITION_START)}, size=${sectors(PARTITION_END - PARTITION_START)}, type=linux\n`,
  });
  const extended = `offset=${PARTITION_START},lazy_itable_init=1,lazy_journal_init=1,nodiscard`;
  const blocks = String((PARTITION_END - PARTITION_START) / 4096);
  await run('mkfs.ext4', ['-q', '-F', '-b', '4096', '-L', 'demo', '-E', extended, '-d', scratch, path, blocks], {
    signal,
  });
  // Durable before anything is timed: its write-back must not disturb the first to run.
  await run('sync', [path], { signal });
  return content;
}

/** Copies files of this machine until there are enough. Files, not noise: they have the sizes that files have. */
async function collectFiles(scratch: string, signal: AbortSignal): Promise<{ files: number; bytes: number }> {
  let files = 0;
  let bytes = 0;
  for (const source of SOURCES) {
    // Half from each: libraries and programs, then documents and data.
    const enough = (CONTENT / SOURCES.length) * (SOURCES.indexOf(source) + 1);
    for await (const path of regularFiles(source)) {
      signal.throwIfAborted();
      if (bytes >= enough) break;
      const copy = join(scratch, path);
      try {
        const { size } = await stat(path);
        if (size > CONTENT / 4) continue;
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
