/**
 * An image file of this machine, whatever its format: raw ones are read as they are, all others through qemu-nbd, which
 * knows them, on a private socket and read-only. An image that needs other files is refused.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, open, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { FerryError } from '../../../shared/errors.js';
import type { Workers } from '../../../workers/pool.js';
import type { SourceHandle } from '../../../workers/storage/handle.js';

export const IMAGE_FORMATS = ['raw', 'qcow2', 'vmdk', 'vhdx', 'vdi'] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

export interface OpenImageFile extends AsyncDisposable {
  readonly source: SourceHandle;
}

const START_MS = 10_000;
/** The first bytes of formats that people mistake for raw images. */
const MAGIC: readonly (readonly [string, ImageFormat])[] = [
  ['QFI\xfb', 'qcow2'],
  ['KDMV', 'vmdk'],
  ['# Disk DescriptorFile', 'vmdk'],
  ['vhdxfile', 'vhdx'],
  ['<<< ', 'vdi'],
];

/**
 * @param format  null: what the file's first bytes say; raw where they say nothing
 * @throws FerryError PATH_*, STORAGE_*, SOURCE_EMPTY; NOT_SUPPORTED (no qemu-nbd, or it refuses the image)
 */
export async function openImageFile(
  workers: Workers,
  path: string,
  format: ImageFormat | null,
): Promise<OpenImageFile> {
  const known = format ?? (await detect(path));
  if (!(await exists(path))) throw new FerryError('PATH_NOT_FOUND', `there is no ${path}`, { path });
  if (known === 'raw') {
    const source = await workers.run('openSource', { path, roots: [path] });
    return { source, [Symbol.asyncDispose]: async () => workers.run('close', { handles: [source] }) };
  }
  const directory = await mkdtemp(join(tmpdir(), 'ferry-nbd-'));
  const server = await serve(path, known, join(directory, 'nbd.sock')).catch(async (thrown) => {
    await rm(directory, { recursive: true, force: true });
    throw thrown;
  });
  const stop = async () => {
    await server.stop();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const nbd = { transport: 'unix' as const, socket: join(directory, 'nbd.sock'), exportName: '' };
    const source = await workers.run('openSource', { nbd, roots: [directory], nbdHosts: [] });
    return {
      source,
      async [Symbol.asyncDispose]() {
        await workers.run('close', { handles: [source] });
        await stop();
      },
    };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

async function detect(path: string): Promise<ImageFormat> {
  const file = await open(path, 'r').catch(() => null);
  // What cannot be opened here is for the thread to refuse, with its reason.
  if (file === null) return 'raw';
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(32), 0, 32, 0);
    const begin = buffer.subarray(0, bytesRead).toString('latin1');
    return MAGIC.find(([magic]) => begin.startsWith(magic))?.[1] ?? 'raw';
  } finally {
    await file.close();
  }
}

async function serve(path: string, format: ImageFormat, socket: string): Promise<{ stop(): Promise<void> }> {
  await refuseReferences(path, format);
  const image = { driver: format, file: { driver: 'file', filename: path } };
  const args = ['--read-only', '--persistent', '--shared=8', `--socket=${socket}`, `json:${JSON.stringify(image)}`];
  const child = spawn('qemu-nbd', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  let failed: Error | null = null;
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  child.once('error', (error) => {
    failed = error;
  });
  const stop = async () => {
    if (failed !== null || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  };
  const deadline = Date.now() + START_MS;
  while (!(await listens(socket))) {
    if (failed !== null) {
      throw missing(path, format);
    }
    if (child.exitCode !== null || Date.now() > deadline) {
      await stop();
      throw new FerryError('NOT_SUPPORTED', `qemu-nbd cannot read ${path}: ${said.trim() || 'it does not answer'}`, {
        path,
      });
    }
    await sleep(20);
  }
  return { stop };
}

/** An image whose data lies in other files names them itself: they would be read with our rights. */
async function refuseReferences(path: string, format: ImageFormat): Promise<void> {
  const args = ['info', '--force-share', '--output=json', '-f', format, path];
  const { stdout } = await promisify(execFile)('qemu-img', args).catch(
    (thrown: NodeJS.ErrnoException & { stderr?: string }) => {
      if (thrown.code === 'ENOENT') throw missing(path, format);
      throw new FerryError('NOT_SUPPORTED', `qemu-img cannot read ${path}: ${thrown.stderr?.trim()}`, { path });
    },
  );
  const info = JSON.parse(stdout) as {
    'backing-filename'?: string;
    'format-specific'?: { data?: { 'data-file'?: string } };
  };
  const other = info['backing-filename'] ?? info['format-specific']?.data?.['data-file'];
  if (other === undefined) return;
  const advice = `make one image of them first: qemu-img convert -O qcow2 ${path} NEW`;
  throw new FerryError('NOT_SUPPORTED', `${path} needs another file, ${other}; ${advice}`, { path });
}

function missing(path: string, format: ImageFormat): FerryError {
  const message = `${path} is a ${format} image, and QEMU's tools are missing: apt-get install qemu-utils`;
  return new FerryError('NOT_SUPPORTED', message, { path });
}

async function listens(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    (thrown: NodeJS.ErrnoException) => thrown.code !== 'ENOENT',
  );
}
