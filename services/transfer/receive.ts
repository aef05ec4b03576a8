/**
 * An upload whose data a client sends over the data plane. Here the target is opened, held and made durable as for any
 * other job; when the client is done, what it has not sent reads as zeroes.
 */
import { Coverage } from '../../shared/coverage.js';
import { FerryError } from '../../shared/errors.js';
import type { Checksum, ClientUpload, FinalizeRequest, JobResult } from '../../shared/schemas/job.js';
import { imageChecksum } from '../../workers/image-checksum.js';
import type { TargetHandle } from '../../workers/storage/handle.js';
import { Checkpoints } from './checkpoints.js';
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
  const { workers, progress, config, client } = run;
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
    const earlier = earlierWork(run, { ...found, targetBytes: opened.identity.size, untouched });
    const readsZero = opened.readsZero || earlier?.plan.proof === 'created' || earlier?.plan.proof === 'declared';
    const target = { ...opened, readsZero };
    const proof = opened.created ? 'created' : readsZero ? (earlier?.plan.proof ?? 'declared') : 'none';
    const plan = { strategy: 'no-zero' as const, proof, reason: 'a client sends data and zeroes' };
    const counted = new Counted(run);
    const checkpoints = new Checkpoints(run, target, { ...found, plan }, earlier, (copied) => counted.into(copied));
    const totals = { totalBytes, dataBytes: totalBytes, givenBytes: 0, zeroFirstBytes: 0 };
    progress.totals = { ...totals, verify: false };
    if (earlier !== null) progress.resume(checkpoints.copied.bytes, 0);
    counted.begin(checkpoints.copied);
    progress.enter('copying');
    await checkpoints.begin();
    let said: FinalizeRequest | null = null;
    await checkpoints.during(async () => {
      said = await finished(run, earlier?.complete === true);
      said ??= await serveClient(run, { storage: target, op: 'write', size, allocation }, (offer) =>
        counted.look(offer),
      );
      // What it sent must survive from here on: nobody would send it again.
      checkpoints.complete = true;
      await checkpoints.flush();
      await settleRest(run, target, request, checkpoints, totalBytes);
    });
    progress.enter('flushing');
    await checkpoints.flush();
    const wanted = (said as FinalizeRequest | null)?.checksum ?? client?.said()?.checksum;
    if (wanted === undefined) return makeResult(progress, null, startedMs);
    progress.totals = { ...totals, verify: true };
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

/** Everything that no client has sent, and the tail: zeroes, or what already reads as zeroes. */
async function settleRest(
  run: JobRun,
  target: TargetHandle,
  request: ClientUpload,
  checkpoints: Checkpoints,
  totalBytes: number,
): Promise<void> {
  const { allocation } = request.options;
  const unsent = checkpoints.copied.rest(Float64Array.of(0, totalBytes));
  const ranges = checkpoints.zeroed.rest(unsent);
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

/** Adds to the job's counters what the client has settled, each byte once, whatever it sends again. */
class Counted {
  #all = new Coverage();
  #offer: Offer | null = null;

  constructor(private readonly run: JobRun) {}

  begin(settled: Coverage): void {
    this.#all = new Coverage(settled.toPacked());
  }

  look(offer: Offer): void {
    this.#offer = offer;
    this.into(this.#all);
  }

  /** What has been written until now; of it, what `coverage` does not have yet is added. */
  into(coverage: Coverage): void {
    const before = this.#all.bytes;
    const written = this.#offer?.written() ?? [];
    for (let at = 0; at + 1 < written.length; at += 2) {
      const range = { start: written[at] as number, length: written[at + 1] as number };
      this.#all.add(range);
      if (coverage !== this.#all) coverage.add(range);
    }
    const more = this.#all.bytes - before;
    this.run.progress.control.add('done', more);
    this.run.progress.control.add('copied', more);
  }
}
