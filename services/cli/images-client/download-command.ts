/** What `ferry download` does: receives an image of a node into a file or device of this machine, by job or ticket. */
import { FerryError } from '../../../shared/errors.js';
import { end, MiB } from '../../../shared/units.js';
import { ControlBlock } from '../../../workers/control.js';
import { imageChecksum } from '../../../workers/image-checksum.js';
import type { Workers } from '../../../workers/pool.js';
import { type ClientFlags, clientOf } from '../client-flags.js';
import type { Context } from '../context.js';
import { followJob } from '../following.js';
import { type LocalTarget, openLocalTarget } from '../local-storage/target.js';
import { sourceOf } from '../targets.js';
import type { Clients } from './clients.js';
import { receiveImage } from './download.js';
import { interruptible } from './interruptible.js';
import { finalizeJob, Offers, serveJob } from './job-client.js';
import { TransferDisplay } from './transfer-display.js';
import { type TransferFlags, withWorkers } from './transfer-flags.js';
import { withImage } from './with-image.js';

export interface DownloadFlags extends TransferFlags, ClientFlags {
  readonly overwrite?: true;
  readonly verify?: true;
  readonly pool?: string;
  readonly label?: Record<string, string>;
}

const CHECKSUM = { algorithm: 'sha256', blockSize: 4 * MiB } as const;

/** @param source  on the node; not looked at where `flags` name a ticket. @returns the exit code */
export async function download(context: Context, source: string, file: string, flags: DownloadFlags): Promise<number> {
  return await withWorkers(async (workers) => {
    const work = new Download(context, file, flags, workers);
    try {
      return await work.run(source);
    } finally {
      await work.close();
    }
  });
}

class Download {
  #target: LocalTarget | null = null;

  constructor(
    private readonly context: Context,
    private readonly file: string,
    private readonly flags: DownloadFlags,
    private readonly workers: Workers,
  ) {}

  async run(source: string): Promise<number> {
    const { url } = this.flags;
    if (url !== undefined) return await interruptible((signal) => this.#fromTicket(url, signal));
    return await this.#fromJob(source);
  }

  async close(): Promise<void> {
    await this.#target?.close();
  }

  async #fromTicket(url: string, signal: AbortSignal): Promise<number> {
    const json = this.flags.json === true;
    const display = new TransferDisplay({ screen: this.context.screen, json, stage: 'receiving' });
    try {
      await withImage({ url, local: null }, 'read', this.flags, signal, (clients) =>
        this.#receive(clients, signal, display),
      );
      await this.#target?.complete();
      display.completed();
      return 0;
    } finally {
      display.close();
    }
  }

  async #fromJob(source: string): Promise<number> {
    const { context, flags } = this;
    const { label: labels, pool } = flags;
    const json = flags.json === true;
    const api = await clientOf(flags, context);
    const { id } = await api.submit({
      kind: 'download',
      source: sourceOf(source),
      ...(labels === undefined ? {} : { labels }),
      ...(pool === undefined ? {} : { pool }),
    });
    if (!json) context.screen.line(`job ${id}`);
    const stop = new AbortController();
    const offers = new Offers();
    const work = serveJob({
      offers,
      serve: async ({ url, local, gone }, reached) => {
        const signal = AbortSignal.any([stop.signal, gone]);
        await withImage({ url, local }, 'read', flags, signal, async (clients) => {
          reached();
          await this.#receive(clients, signal, null);
        });
        await finalizeJob(api, id, undefined, stop.signal);
      },
    });
    let ended = false;
    try {
      const code = await followJob(context, api, id, {
        json,
        answered: true,
        work,
        heard: (view) => offers.heard(view),
        goesOn: 'the download was stopped',
      });
      ended = code < 128;
      if (code === 0) await this.#target?.complete();
      return code;
    } finally {
      offers.close();
      stop.abort(new FerryError('CANCELED', 'The download was stopped'));
      await work.catch(() => {});
      // Nobody else will read for it.
      if (!ended) await api.cancel(id).catch(() => {});
    }
  }

  /** Of a job that offers again all is received once more: its source may be another one by now. */
  async #receive(clients: Clients, signal: AbortSignal, display: TransferDisplay | null): Promise<void> {
    const { workers, flags } = this;
    const extents = await clients.use((client) => client.extents());
    const last = extents.at(-1);
    const size = last === undefined ? 0 : end(last);
    const first = this.#target === null;
    this.#target ??= await openLocalTarget(workers, this.file, size, flags.overwrite === true);
    const { handle } = this.#target;
    if (handle.size < size) throw new FerryError('SOURCE_CHANGED', `The image has ${size} bytes now`);
    display?.begin(size);
    const target = first ? handle : { ...handle, readsZero: false };
    const onDone = (length: number) => display?.add(length);
    await receiveImage({ workers, target, extents, clients, signal, onDone });
    if (flags.verify !== true) return;
    const stored = await clients.use((client) => client.checksum(CHECKSUM.algorithm, CHECKSUM.blockSize));
    const control = new ControlBlock().memory;
    const data = await workers.run('extents', { handle, control });
    const received = await imageChecksum(workers, { ...CHECKSUM, handle, size, data, control });
    if (received === stored) return;
    throw new FerryError('VERIFY_FAILED', `${this.file} has the checksum ${received}, the image has ${stored}`);
  }
}
