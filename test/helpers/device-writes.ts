/** How much was really written to a block device, as the kernel counts it. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

/** Bytes written to the device since it came up; see Documentation/block/stat.rst. Calls that zero are not counted. */
export function writtenBytes(device: string): number {
  const fields = readFileSync(`/sys/block/${basename(device)}/stat`, 'utf8')
    .trim()
    .split(/\s+/);
  // In sectors of 512 bytes, whatever those of the device are.
  return Number(fields[6]) * 512;
}
