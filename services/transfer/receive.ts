/**
 * An upload whose data a client sends over the data plane. Here the target is opened, held and made durable as for any
 * other job; when the client is done, what it has not sent reads as zeroes.
 */
import { Coverage } from '../../shared/coverage.js';
import { FerryError } from '../../shared/errors.js';
import type { Checkpoint } from '../../shared/queue/checkpoint.js';
import type { Checksum, ClientUpload, FinalizeRequest, JobResult } from '../../shared/schemas/job.js';
import { imageChecksum } from '../../workers/image-checksum.js';
import type { TargetHandle } from '../../workers/storage/handle.js';
import { Checkpoints, type Others } from './checkpoints.js';
import { serveClient } from './client-side.js';
import type { Offer } from './data-plane.js';
import { type JobRun, limitsOf, makeResult, targetRequest, withHandles } from './job.js';
import { sum } from './layout.js';
import { digest, earlierWork } from './resume.js';
import { needsZeroing } from './strategy.js';
import { zeroRanges } from './zero-ranges.js';

/** @throws FerryError what opening throws; CLIENT_IDLE, FLUSH_FAILED, VERIFY_FAILED, STORAGE_* */
export async function runReceive(run: JobRun, request: ClientUpload): Promise<JobResult> {
  const startedMs = performance.now();
  const { workers, progress, config } = run;
  const { allocation, zeroTail } = request.options;
  const { size } = request.source;
  return await withHandles(workers, async (keep) => {
    const opened = await keep(
      workers.run('openTarget', {
        ...targetRequest(request, limitsOf(config), run.attempt),
        neededBytes: size,
        source: null,
        control: progress.control.memory,
      }),
    );
    const print = await workers.run('fingerprint', { handle: opened });
    const untouched = await run.owner.hold(print.name);
    const totalBytes = zeroTail ? opened.size : size;
    const found = { source: null, target: print, layout: digest('client', size, totalBytes, allocation) };
    const known = earlierWork(run, { ...found, targetBytes: opened.identity.size, untouched });
    let said = await finished(run, known?.complete === true);
    const earlier = known === null ? null : stillTrue(known, said !== null);
    const readsZero = opened.readsZero || earlier?.plan.proof === 'created' || earlier?.plan.proof === 'declared';
    const target = { ...opened, readsZero };
    const proof = opened.created ? 'created' : readsZero ? (earlier?.plan.proof ?? 'declared') : 'none';
    const plan = { strategy: 'no-zero' as const, proof, reason: 'a client sends data and zeroes' };
    const sender = new Sender(run, target, new Coverage(earlier?.copied).bytes);
    const checkpoints = new Checkpoints(run, target, { ...found, plan }, earlier, sender);
    const totals = { totalBytes, dataBytes: totalBytes, givenBytes: 0, zeroFirstBytes: 0 };
    progress.totals = { ...totals, verify: said?.checksum !== undefined };
    if (earlier !== null) progress.resume(totalBytes - sum(unsettled(checkpoints, totalBytes)), 0);
    progress.enter('copying');
    checkpoints.complete = said !== null;
    await checkpoints.begin();
    await checkpoints.during(async () => {
      if (said === null) {
        const settled = checkpoints.copied.toPacked();
        try {
          const offered = { storage: target, op: 'write', size, allocation, settled } as const;
          said = await serveClient(run, offered, (offer) => sender.look(offer));
        } finally {
          // The offer is gone. A stop that comes now keeps all that was sent, and what the client said with it.
          checkpoints.complete = true;
        }
        // Before 100 % could be claimed.
        progress.totals = { ...totals, verify: said.checksum !== undefined };
      }
      // What it sent must survive from here on: nobody would send it again.
      await checkpoints.flush();
      await settleRest(run, target, request, checkpoints, totalBytes);
    });
    progress.enter('flushing');
    await checkpoints.flush();
    const wanted = (said as FinalizeRequest | null)?.checksum;
    if (wanted === undefined) return makeResult(progress, null, startedMs);
    progress.enter('verifying');
    const checksum = await verify(run, target, size, wanted);
    return { ...makeResult(progress, null, startedMs), checksum };
  });
}

/** What the client said in an earlier attempt, which ended before the job could complete. */
async function finished({ client, log }: JobRun, complete: boolean): Promise<FinalizeRequest | null> {
  const said = client?.said() ?? null;
  if (said === null || complete) return said;
  log.warn({ reason: 'a part of what it had sent was lost with the node' }, 'the client must send again');
  await client?.forget();
  return null;
}

/**
 * What an earlier attempt knew of the target besides what was sent. After a crash clients may have written more than it
 * recorded: then nothing reads as zeroes for sure. Nor does what a client may write over from now on.
 */
function stillTrue(earlier: Checkpoint, nothingMoreComes: boolean): Checkpoint {
  const plan = earlier.complete === true ? earlier.plan : { ...earlier.plan, proof: 'none' as const };
  return { ...earlier, plan, zeroed: nothingMoreComes ? earlier.zeroed : [] };
}

/** What neither the client has sent nor the job has zeroed. */
function unsettled({ copied, zeroed }: Checkpoints, totalBytes: number): Float64Array {
  return zeroed.rest(copied.rest(Float64Array.of(0, totalBytes)));
}

/** Everything that no client has sent, and the tail: zeroes, or what already reads as zeroes. */
async function settleRest(
  run: JobRun,
  target: TargetHandle,
  request: ClientUpload,
  checkpoints: Checkpoints,
  totalBytes: number,
): Promise<void> {
  const { allocation } = request.options;
  const ranges = unsettled(checkpoints, totalBytes);
  run.progress.enter('zeroing');
  if (needsZeroing({ ...target, allocation, holes: ranges.length / 2 })) {
    await zeroRanges(run, { target, ranges, allocation, counts: true }, checkpoints.zeroed);
  } else run.progress.control.add('done', sum(ranges));
}

/** @throws FerryError VERIFY_FAILED; a retry begins anew then */
async function verify(
  run: JobRun,
  handle: TargetHandle,
  size: number,
  wanted: NonNullable<FinalizeRequest['checksum']>,
): Promise<Checksum> {
  const { workers, progress, owner } = run;
  const { algorithm, blockSize } = wanted;
  const control = progress.control.memory;
  const data = await workers.run('imageExtents', { handle, size, control });
  const onHashed = (length: number) => progress.control.add('verified', length);
  const checksum = await imageChecksum(workers, { handle, size, algorithm, blockSize, data, control, onHashed });
  if (checksum === wanted.checksum) {
    // What lies behind the image was not hashed, and need not be.
    progress.control.add('verified', Math.max(0, handle.size - size));
    return { algorithm, blockSize, checksum };
  }
  // What a flush called durable is not what the client meant.
  await owner.begin(null);
  const message = `${handle.path} has the checksum ${checksum}, the client's image has ${wanted.checksum}; do not use it`;
  throw new FerryError('VERIFY_FAILED', message, { path: handle.path });
}

/** The client that sends: what it has settled is counted, each byte once whatever it sends again, and made durable. */
class Sender implements Others {
  #offer: Offer | null = null;
  #sent = 0;

  /** @param written  bytes that were settled before */
  constructor(
    private readonly run: JobRun,
    private readonly target: TargetHandle,
    private written: number,
  ) {}

  look(offer: Offer): void {
    const { control } = this.run.progress;
    this.#offer = offer;
    control.add('done', offer.writtenBytes - this.written);
    control.add('copied', offer.sentBytes - this.#sent);
    this.written = offer.writtenBytes;
    this.#sent = offer.sentBytes;
  }

  collect(copied: Coverage): void {
    if (this.#offer === null) return;
    this.look(this.#offer);
    copied.addAll(this.#offer.written());
  }

  async flush(): Promise<void> {
    if (this.#offer === null) await this.run.workers.run('flush', { target: this.target });
    else await this.#offer.flush();
  }
}
