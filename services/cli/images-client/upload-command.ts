/** What `ferry upload` does: sends an image of this machine for a job of its own, an earlier one, or to a ticket. */
import { FerryError } from '../../../shared/errors.js';
import type { JobView } from '../../../shared/schemas/job.js';
import type { ApiClient } from '../api-client.js';
import { clientOf } from '../client-flags.js';
import type { Context } from '../context.js';
import { followJob } from '../following.js';
import type { ImageFormat } from '../local-storage/image-format.js';
import { type LocalSource, openLocalSource } from '../local-storage/source.js';
import { commonOptions, commonRequest, type SubmitFlags } from '../submitting.js';
import { targetOf } from '../targets.js';
import { interruptible } from './interruptible.js';
import { finalizeJob, Offers, serveJob } from './job-client.js';
import { TransferDisplay } from './transfer-display.js';
import { type TransferFlags, withWorkers } from './transfer-flags.js';
import { sendImage } from './upload.js';
import { withImage } from './with-image.js';

export interface UploadFlags extends TransferFlags, Omit<SubmitFlags, 'dryRun' | 'follow' | 'bandwidth'> {
  readonly target?: string;
  readonly resume?: string;
  readonly verify?: true;
  readonly format?: ImageFormat;
  /** commander: false when `--no-…` was given, else true. */
  readonly zeroTail: boolean;
}

/** Tells which state of which file a job is sent, so that it is not completed with another one. */
const SOURCE_LABEL = 'source';

/** @returns the exit code */
export async function upload(
  context: Context,
  file: string,
  target: string | undefined,
  flags: UploadFlags,
): Promise<number> {
  return await withWorkers(async (workers) => {
    const source = await openLocalSource(workers, file, flags.format ?? null);
    try {
      return await new Upload(context, file, flags, { workers, source }).run(target);
    } finally {
      await source.close();
    }
  });
}

type Image = Pick<Parameters<typeof sendImage>[0], 'workers'> & { readonly source: LocalSource };

class Upload {
  constructor(
    private readonly context: Context,
    private readonly file: string,
    private readonly flags: UploadFlags,
    private readonly image: Image,
  ) {}

  async run(target: string | undefined): Promise<number> {
    const { url, resume } = this.flags;
    if (url !== undefined) return await interruptible((signal) => this.#toTicket(url, signal));
    const api = await clientOf(this.flags, this.context);
    if (resume !== undefined) return await this.#toJob(api, await this.#resumed(api, resume));
    return await this.#toJob(api, await this.#submitted(api, target as string));
  }

  async #toTicket(url: string, signal: AbortSignal): Promise<number> {
    const { source } = this.image;
    const json = this.flags.json === true;
    const display = new TransferDisplay({ screen: this.context.screen, json, stage: 'sending' });
    try {
      await withImage({ url, local: null }, 'write', this.flags, signal, async (clients) => {
        const onDone = (length: number) => display.add(length);
        display.begin(source.handle.size);
        const verify = this.flags.verify === true;
        const common = { clients, settled: [], zeroes: 'send', wantsChecksum: verify, signal, onDone } as const;
        const sent = await this.#send(common);
        if (sent === null) return;
        const { algorithm, blockSize, checksum } = sent;
        const stored = await clients.use((client) => client.checksum(algorithm, blockSize));
        if (stored !== checksum) {
          // The server hashes all that its ticket is for: of a larger target that is more than was sent.
          const message = `The target has the checksum ${stored}, ${this.file} has ${checksum}`;
          throw new FerryError('VERIFY_FAILED', `${message}; is the ticket for an image of another size?`);
        }
      });
      display.completed();
      return 0;
    } finally {
      display.close();
    }
  }

  async #submitted(api: ApiClient, target: string): Promise<string> {
    const { flags } = this;
    const { labels, ...common } = commonRequest(flags);
    const label = this.#label();
    const { id } = await api.submit(
      {
        kind: 'upload',
        source: { type: 'client', size: this.image.source.handle.size },
        target: await targetOf(target, flags),
        options: { ...commonOptions(flags), ...(flags.zeroTail ? {} : { zeroTail: false }) },
        ...common,
        labels: { ...(label === null ? {} : { [SOURCE_LABEL]: label }), ...labels },
      },
      flags.idempotencyKey,
    );
    return id;
  }

  /** @throws FerryError BAD_REQUEST  it is another kind of job, or was begun with something else than FILE */
  async #resumed(api: ApiClient, id: string): Promise<string> {
    const job = await api.job(id);
    const { size } = this.image.source.handle;
    const label = this.#label();
    const began = job.labels[SOURCE_LABEL];
    const wrong =
      job.source?.type !== 'client'
        ? 'is not one that a client sends data for'
        : job.source.size !== size
          ? `is for an image of ${job.source.size} bytes, ${this.file} has ${size}`
          : began !== undefined && label !== null && changedAt(began) !== changedAt(label)
            ? `was begun with "${began}", and ${this.file} is "${label}": begin a new one`
            : null;
    if (wrong !== null) throw new FerryError('BAD_REQUEST', `job ${id} ${wrong}`);
    if (job.state === 'failed' || job.state === 'canceled') await api.tell(id, 'retry');
    if (job.state === 'paused') await api.tell(id, 'resume');
    return id;
  }

  async #toJob(api: ApiClient, id: string): Promise<number> {
    const { screen } = this.context;
    const json = this.flags.json === true;
    if (!json) screen.line(`job ${id}`);
    const stop = new AbortController();
    const offers = new Offers();
    const work = serveJob({
      offers,
      serve: async ({ url, local, durable, gone }, reached) => {
        const signal = AbortSignal.any([stop.signal, gone]);
        const checksum = await withImage({ url, local }, 'write', this.flags, signal, async (clients) => {
          reached();
          const wantsChecksum = this.flags.verify === true;
          const common = { clients, settled: durable, wantsChecksum, signal, onDone: () => {} };
          // The job zeroes what it was not sent, by what it knows of its target, and shows how far it is.
          return await this.#send({ ...common, zeroes: 'leave' });
        });
        await finalizeJob(api, id, checksum ?? undefined, stop.signal);
      },
    });
    const again = `go on with "ferry upload ${this.file} --resume ${id}", end it with "ferry cancel ${id}"`;
    try {
      const heard = (view: JobView) => offers.heard(view);
      return await followJob(this.context, api, id, {
        json,
        answered: true,
        heard,
        work,
        goesOn: `the job waits: ${again}`,
      });
    } catch (thrown) {
      if (thrown instanceof FerryError && thrown.code === 'SOURCE_CHANGED') {
        // What was sent is of two states of the image: nothing can make one of them.
        await api.cancel(id);
        screen.note(`ferry: job ${id} is canceled`);
      } else screen.note(`ferry: job ${id} has not ended: ${again}`);
      throw thrown;
    } finally {
      offers.close();
      stop.abort(new FerryError('CANCELED', 'The upload was stopped'));
      // It may be reading: the source is closed after this.
      await work.catch(() => {});
    }
  }

  async #send(request: Omit<Parameters<typeof sendImage>[0], 'workers' | 'source' | 'data'>) {
    const { workers, source } = this.image;
    const { handle, data } = source;
    const sent = await sendImage({ workers, source: handle, data, ...request });
    await source.assertUnchanged();
    return sent;
  }

  #label(): string | null {
    const { modified } = this.image.source;
    if (modified === null) return null;
    const seconds = new Date(Number(BigInt(modified) / 1_000_000n)).toISOString().slice(0, -5);
    const name = this.file.split('/').at(-1) ?? '';
    return `${seconds}.${modified.slice(-9)}Z ${name}`.slice(0, 255);
  }
}

function changedAt(label: string): string {
  return label.split(' ', 1)[0] ?? '';
}
