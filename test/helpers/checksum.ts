/** The checksum that a verified job reports, computed the plain way. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';

const BLOCK = 4 * 1024 * 1024;

/** sha256 over the sha256 digests of the image's 4 MiB blocks, hexadecimal. */
export async function imageChecksum(path: string): Promise<string> {
  const image = await readFile(path);
  const all = createHash('sha256');
  for (let start = 0; start < image.length; start += BLOCK) {
    all.update(
      createHash('sha256')
        .update(image.subarray(start, start + BLOCK))
        .digest(),
    );
  }
  return all.digest('hex');
}
