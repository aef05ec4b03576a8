/**
 * Which format a local image has. What says by itself that it is qcow2 is believed, as long as it names no other file:
 * a guest can write any header into its raw disk, and a forged one must not make us read what the guest may not.
 * Facts: docs/interop/qcow2.rst of QEMU; the magic numbers of VMDK, VHDX and VDI.
 */
import { open } from 'node:fs/promises';
import { FerryError } from '../../../shared/errors.js';

export const FORMATS = ['raw', 'qcow2', 'vmdk', 'vhdx', 'vdi'] as const;
export type ImageFormat = (typeof FORMATS)[number];

const HEADER_BYTES = 512;
/** The data are in another file, which the header names. */
const QCOW2_EXTERNAL_DATA = 1n << 2n;

/**
 * @param said  what a person says it is; null: nothing
 * @throws FerryError NOT_SUPPORTED  it could be of a format that must be named
 * @throws FerryError PATH_NOT_FOUND, STORAGE_DENIED
 */
export async function formatOf(path: string, said: ImageFormat | null = null): Promise<ImageFormat> {
  const header = await readHeader(path);
  if (said !== null) return said;
  const found = looksLike(header);
  if (found === 'raw' || (found === 'qcow2' && !namesOtherFiles(header))) return found;
  const why = found === 'qcow2' ? 'qcow2 with other files behind it' : `of the format ${found}`;
  throw new FerryError(
    'NOT_SUPPORTED',
    `${path} seems to be ${why}: say --format ${found} to trust it, or --format raw to send it as it is`,
    { path },
  );
}

function looksLike(header: Buffer): ImageFormat {
  const begins = (text: string) => header.subarray(0, text.length).equals(Buffer.from(text, 'latin1'));
  if (begins('QFI\xfb')) return 'qcow2';
  if (begins('KDMV') || begins('# Disk DescriptorFile')) return 'vmdk';
  if (begins('vhdxfile')) return 'vhdx';
  return header.length >= 68 && header.readUInt32LE(64) === 0xbeda107f ? 'vdi' : 'raw';
}

function namesOtherFiles(header: Buffer): boolean {
  if (header.length < 80) return false;
  const version = header.readUInt32BE(4);
  const backing = header.readBigUInt64BE(8) !== 0n;
  return backing || (version >= 3 && (header.readBigUInt64BE(72) & QCOW2_EXTERNAL_DATA) !== 0n);
}

async function readHeader(path: string): Promise<Buffer> {
  try {
    await using file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new FerryError(code === 'ENOENT' ? 'PATH_NOT_FOUND' : 'STORAGE_DENIED', message, { path }, { cause });
  }
}
