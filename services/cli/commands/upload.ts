/** `ferry upload FILE TARGET`: sends an image of this machine to a node, through a job or straight to a ticket. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { Coverage } from '../../../shared/coverage.js';
import { FerryError } from '../../../shared/errors.js';
import { formatBytes, MiB } from '../../../shared/units.js';
import { ControlBlock } from '../../../workers/control.js';
import { imageChecksum } from '../../../workers/image-checksum.js';
import type { Workers } from '../../../workers/pool.js';
import type { SourceHandle } from '../../../workers/storage/handle.js';
import type { ApiClient } from '../api-client.js';
import { clientOf } from '../client-flags.js';
import type { Context } from '../context.js';
import { followJob } from '../following.js';
import { reach } from '../images-client/address.js';
import { serveJob } from '../images-client/client-job.js';
import { IMAGE_FORMATS, type ImageFormat, openImageFile } from '../images-client/open-image-file.js';
import { sendImage } from '../images-client/send-image.js';
import { withWorkers } from '../images-client/workers.js';
import { addSubmitFlags, commonOptions, commonRequest, type SubmitFlags } from '../submitting.js';
import { targetOf } from '../targets.js';
import { formatDuration, formatRate } from '../words.js';

interface UploadFlags extends Omit<SubmitFlags, 'dryRun' | 'follow' | 'bandwidth'> {
  readonly url?: string;
  readonly resume?: string;
  readonly verify?: true;
  readonly format?: ImageFormat;
  readonly zeroTail: boolean;
  readonly cacert?: string;
}

const CHECKSUM = { algorithm: 'sha256', blockSize: 4 * MiB } as const;

export function addUpload(program: Command, context: Context): void {
  const command = program
    .command('upload')
    .description('send a disk image of this machine to a node')
    .argument('<FILE>', 'image of this machine: raw, or qcow2 and others where qemu-utils are installed')
    .argument('[TARGET]', 'on the node: a block device, a file that may be missing, or an NBD URI')
    .option('--url <URL>', 'send to this upload URL or ticket instead of making a job')
    .option('--resume <JOB>', 'go on with the upload job of an interrupted "ferry upload"')
    .option('--verify', 'compare the checksum of the target with that of the image')
    .option('--no-zero-tail', 'leave alone what lies behind the image on a larger target')
    .option('--cacert <FILE>', 'PEM file of the authority that signed the certificate of the node')
    .addOption(new Option('--format <FORMAT>', 'of the image; default: found out').choices(IMAGE_FORMATS));
  addSubmitFlags(command, 'client').action(async (file: string, target: string | undefined, flags: UploadFlags) => {
    if ([target, flags.url, flags.resume].filter((given) => given !== undefined).length !== 1) {
      command.error('error: give one of TARGET, --url URL and --resume JOB');
    }
    context.exitWith(await upload(context, resolve(file), target, flags));
  });
}

async function upload(context: Context, file: string, target: string | undefined, flags: UploadFlags): Promise<number> {
  return await withWorkers(async (workers) => {
    await using image = await openImageFile(workers, file, flags.format ?? null);
    const { source } = image;
    const control = new ControlBlock().memory;
    const data = await workers.run('extents', { handle: source, control });
    const common = { workers, source, data, ca: flags.cacert === undefined ? null : readFileSync(flags.cacert) };
    if (flags.url !== undefined) return await sendToUrl(context, flags.url, common);
    const client = clientOf(flags, context);
    const id = flags.resume ?? (await submit(client, source.size, target as string, flags));
    if (flags.json !== true) context.screen.line(`job ${id}`);
    const goesOn = `the job waits for the rest: "ferry upload ${file} --resume ${id}" goes on, "ferry cancel ${id}" stops it`;
    const following = followJob(context, client, id, { json: flags.json === true, answered: true, goesOn });
    const stopping = new AbortController();
    const sending = sendToJob(client, id, common, flags.verify === true, stopping.signal);
    // A job that fails tells why; a client that cannot go on does as well. Whichever is first ends the other.
    try {
      return await Promise.race([following, sending.then(() => following)]);
    } finally {
      stopping.abort();
      // The image is closed after this: nothing may read it then.
      await sending.catch(() => {});
    }
  });
}

interface Image {
  readonly workers: Workers;
  readonly source: SourceHandle;
  readonly data: Float64Array;
  readonly ca: Buffer | null;
}

async function submit(client: ApiClient, size: number, target: string, flags: UploadFlags): Promise<string> {
  const job = await client.submit(
    {
      kind: 'upload',
      source: { type: 'client', size },
      target: await targetOf(target, flags),
      options: { ...commonOptions(flags), ...(flags.zeroTail ? {} : { zeroTail: false }) },
      ...commonRequest(flags),
    },
    flags.idempotencyKey,
  );
  return job.id;
}

async function sendToJob(
  client: ApiClient,
  id: string,
  { ca, ...image }: Image,
  verify: boolean,
  signal: AbortSignal,
): Promise<void> {
  const { size } = image.source;
  const said = await client.job(id);
  if (said.source?.type !== 'client' || said.source.size !== size) {
    throw new FerryError('BAD_REQUEST', `job ${id} is not an upload of an image of ${size} bytes`);
  }
  const served = await serveJob(client, id, signal, async ({ url, durable = [] }) => {
    const { address, options } = await reach(url, ca);
    const settled = new Coverage(durable.flat());
    const connections = options.max_writers ?? 1;
    // What the job is not sent reads as zeroes in the end.
    const rest = { sendZeroes: false, flush: false, signal, onDone: () => {} };
    await sendImage({ ...image, address, connections, settled, ...rest });
  });
  if (!served || signal.aborted) return;
  const checksum = verify ? { ...CHECKSUM, checksum: await checksumOf(image) } : undefined;
  await client.finalize(id, checksum);
}

async function checksumOf({ workers, source, data }: Omit<Image, 'ca'>): Promise<string> {
  const control = new ControlBlock().memory;
  return await imageChecksum(workers, { ...CHECKSUM, handle: source, size: source.size, data, control });
}

async function sendToUrl({ screen }: Context, url: string, { ca, ...image }: Image): Promise<number> {
  const startedMs = performance.now();
  const { address, options } = await reach(url, ca);
  const { size } = image.source;
  let done = 0;
  let shown = 0;
  const onDone = (length: number) => {
    done += length;
    const tenth = Math.floor((done / size) * 10);
    if (tenth > shown) screen.line(`${tenth * 10} %  ${formatBytes(done)} of ${formatBytes(size)}`);
    shown = Math.max(shown, tenth);
  };
  const connections = options.max_writers ?? 1;
  const { signal } = new AbortController();
  const rest = { settled: new Coverage(), sendZeroes: true, flush: true, signal, onDone };
  await sendImage({ ...image, address, connections, ...rest });
  const ms = performance.now() - startedMs;
  screen.line(`completed: ${formatBytes(size)} in ${formatDuration(ms)} (${formatRate(size / (ms / 1000))})`);
  return 0;
}
