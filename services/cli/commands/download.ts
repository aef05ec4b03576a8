/** `ferry download SOURCE FILE`: reads an image of a node into a file of this machine. */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { formatBytes } from '../../../shared/units.js';
import { ControlBlock } from '../../../workers/control.js';
import type { Workers } from '../../../workers/pool.js';
import { addClientFlags, type ClientFlags, clientOf } from '../client-flags.js';
import type { Context } from '../context.js';
import { exitCodeOfJob } from '../exit-codes.js';
import { follow } from '../follow.js';
import { reach } from '../images-client/address.js';
import { serveJob } from '../images-client/client-job.js';
import { ImageConnection } from '../images-client/connection.js';
import { fetchImage } from '../images-client/fetch-image.js';
import { withWorkers } from '../images-client/workers.js';
import { sourceOf } from '../targets.js';
import { formatDuration, formatRate } from '../words.js';

interface DownloadFlags extends ClientFlags {
  readonly url?: string;
  readonly pool?: string;
  readonly cacert?: string;
}

export function addDownload(program: Command, context: Context): void {
  const command = program
    .command('download')
    .description('read a disk image of a node into a raw file of this machine')
    .argument('<SOURCE>', 'on the node: a file, a block device or an NBD URI; left out with --url')
    .argument('[FILE]', 'file to write; holes stay holes')
    .option('--url <URL>', 'read from this URL or ticket instead of making a job')
    .option('--pool <NAME>', 'pool whose nodes have the source')
    .option('--cacert <FILE>', 'PEM file of the authority that signed the certificate of the node');
  addClientFlags(command).action(async (first: string, second: string | undefined, flags: DownloadFlags) => {
    if ((second === undefined) !== (flags.url !== undefined))
      command.error('error: give SOURCE and FILE, or --url URL and FILE');
    const [source, file] = second === undefined ? [undefined, first] : [first, second];
    context.exitWith(await download(context, source, resolve(file), flags));
  });
}

async function download(
  context: Context,
  source: string | undefined,
  file: string,
  flags: DownloadFlags,
): Promise<number> {
  const { screen } = context;
  const ca = flags.cacert === undefined ? null : readFileSync(flags.cacert);
  return await withWorkers(async (workers) => {
    if (flags.url !== undefined) {
      await fetchFrom(context, workers, flags.url, ca, file);
      return 0;
    }
    const client = clientOf(flags, context);
    const pool = flags.pool === undefined ? {} : { pool: flags.pool };
    const { id } = await client.submit({ kind: 'download', source: sourceOf(source as string), ...pool });
    screen.note(`job ${id}`);
    const served = await serveJob(client, id, new AbortController().signal, ({ url }) =>
      fetchFrom(context, workers, url, ca, file),
    );
    if (served) await client.finalize(id, undefined);
    const watcher = { changed: () => {}, lost: () => {}, regained: () => {} };
    const ended = await follow((etag, wait) => client.jobAfter(id, etag, wait), watcher, new AbortController().signal);
    if (ended.error !== undefined) screen.note(`ferry: ${ended.error.message} (${ended.error.code})`);
    return exitCodeOfJob(ended.state);
  });
}

async function fetchFrom({ screen }: Context, workers: Workers, url: string, ca: Buffer | null, file: string) {
  const startedMs = performance.now();
  const { address, options } = await reach(url, ca);
  const asking = new ImageConnection(address);
  const extents = await asking.extents().finally(() => asking.close());
  const last = extents.at(-1);
  const size = last === undefined ? 0 : last.start + last.length;
  const control = new ControlBlock().memory;
  const target = await workers.run('openTarget', {
    type: 'file',
    path: file,
    roots: [dirname(file)],
    neededBytes: size,
    fileSize: size,
    source: null,
    declaredZero: false,
    control,
  });
  let done = 0;
  let shown = 0;
  const onDone = (length: number) => {
    done += length;
    const tenth = Math.floor((done / size) * 10);
    if (tenth > shown) screen.line(`${tenth * 10} %  ${formatBytes(done)} of ${formatBytes(size)}`);
    shown = Math.max(shown, tenth);
  };
  try {
    const connections = options.max_readers ?? 1;
    await fetchImage({ workers, target, extents, address, connections, control, onDone });
  } finally {
    await workers.run('close', { handles: [target] });
  }
  const ms = performance.now() - startedMs;
  screen.line(`completed: ${formatBytes(size)} in ${formatDuration(ms)} (${formatRate(size / (ms / 1000))})`);
}
