/** The proof that owes nothing to imageferry: cmp. */
import { run } from './children.js';

/** @throws Error where the first `size` bytes of both differ, or one is shorter */
export async function compare(image: string, target: string, size: number, signal: AbortSignal): Promise<void> {
  const bytes = `--bytes=${size}`;
  if (!target.startsWith('/dev/')) return void (await run('cmp', [bytes, image, target], { signal }));
  // Past the page cache: what the device holds is what counts. And cmp reads in 4 KiB, which only a long
  // read-ahead makes bearable: four times as fast as a pipe from dd.
  const script = `
    ahead=$(blockdev --getra "$2") && blockdev --flushbufs --setra 8192 "$2" || exit
    cmp "$0" "$1" "$2"
    result=$?
    blockdev --setra "$ahead" "$2"
    exit $result`;
  await run('sh', ['-c', script, bytes, image, target], { signal });
}
